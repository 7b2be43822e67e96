import { hostname } from "node:os"
import { describe, expect, it } from "@effect/vitest"
import { hostCheck } from "../../../src/status/http/refusals.ts"

describe("the names that the status page answers to", () => {
  const own = ["localhost", "localhost:9090", "127.0.0.1:9090", "10.1.2.3", "[::1]:9090", hostname(), ""]

  it.each(["127.0.0.1", "0.0.0.0", "::", "collector.lan"])("behind HTTP_HOST=%s", (httpHost) => {
    const isAllowed = hostCheck({ httpHost, httpAllowedHosts: [] })
    for (const host of own) expect(isAllowed(host), host).toBe(true)
    for (const host of ["evil.example", "evil.example:9090", "localhost.evil.example", "[evil]", "*"]) {
      expect(isAllowed(host), host).toBe(false)
    }
    expect(isAllowed("Collector.LAN:9090")).toBe(httpHost === "collector.lan")
  })

  it("include configured ones, or any", () => {
    const isAllowed = hostCheck({ httpHost: "0.0.0.0", httpAllowedHosts: ["collector", "a.example"] })
    for (const host of [...own, "collector:9090", "A.example"]) expect(isAllowed(host), host).toBe(true)
    expect(isAllowed("b.example")).toBe(false)
    expect(hostCheck({ httpHost: "0.0.0.0", httpAllowedHosts: ["*"] })("b.example")).toBe(true)
  })
})
