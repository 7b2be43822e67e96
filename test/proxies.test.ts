import { describe, expect, it } from "@effect/vitest"
import { type ProxyVariables, proxyFor, proxyProblems } from "../src/proxies/environment.ts"

const chosen = (url: string, variables: ProxyVariables) => proxyFor(new URL(url), variables)?.href

describe("proxies of the environment", () => {
  it.each<readonly [string, ProxyVariables, string | undefined]>([
    ["https://a.example/x", {}, undefined],
    ["https://a.example/x", { HTTPS_PROXY: "http://p:1" }, "http://p:1/"],
    ["wss://a.example/x", { HTTPS_PROXY: "http://p:1" }, "http://p:1/"],
    ["http://a.example/x", { HTTPS_PROXY: "http://p:1" }, undefined],
    ["ws://a.example/x", { HTTP_PROXY: "http://p:1" }, "http://p:1/"],
    ["https://a.example", { https_proxy: "http://p:1", HTTPS_PROXY: "http://q:1" }, "http://p:1/"],
    ["https://a.example", { ALL_PROXY: "socks5://p:1", HTTPS_PROXY: " " }, "socks5://p:1"],
    ["https://a.example", { ALL_PROXY: "socks5://p:1", HTTPS_PROXY: "http://q:1" }, "http://q:1/"],
    ["https://a.example", { HTTPS_PROXY: "p:3128" }, "http://p:3128/"],
    ["https://a.example", { HTTPS_PROXY: "user:pass@p:3128" }, "http://user:pass@p:3128/"]
  ])("%s with %j goes by %s", (url, variables, expected) => {
    expect(chosen(url, variables)).toBe(expected)
  })

  it.each<readonly [string, string, boolean]>([
    ["https://a.example", "*", true],
    ["https://a.example", "a.example", true],
    ["https://x.a.example", "a.example", true],
    ["https://x.a.example", ".a.example", true],
    ["https://x.a.example", "*.a.example", true],
    ["https://notA.example", "a.example", false],
    ["https://A.Example", "b.example, A.EXAMPLE", true],
    ["wss://a.example:9443/x", "a.example:9443", true],
    ["wss://a.example:9444/x", "a.example:9443", false],
    ["https://a.example", "a.example:443", true],
    ["ws://127.0.0.1:9", "localhost,127.0.0.1", true],
    ["ws://10.1.2.3:9", "10.0.0.0/8", true],
    ["ws://11.1.2.3:9", "10.0.0.0/8", false],
    ["ws://[fd00::1]:9", "fd00::/8", true],
    ["ws://[::1]:9", "::1", true],
    ["ws://[::1]:9", "[::1]:8", false],
    ["https://a.example", "10.0.0.0/99, /8, :, .", false]
  ])("%s with NO_PROXY=%s is direct: %s", (url, noProxy, isDirect) => {
    expect(chosen(url, { ALL_PROXY: "http://p:1", NO_PROXY: noProxy }) === undefined).toBe(isDirect)
  })

  it("names a variable that is not the URL of a proxy, without its value", () => {
    for (const value of [
      "http://user:secret@",
      "ftp://user:secret@host",
      "http://user:secret@h:port",
      "::"
    ]) {
      const problems = proxyProblems({ HTTPS_PROXY: value, HTTP_PROXY: "http://fine:1" })
      expect(problems).toEqual([expect.stringMatching(/^HTTPS_PROXY must be the URL of a proxy/)])
      expect(problems.join()).not.toContain("secret")
    }
    expect(proxyProblems({ NO_PROXY: "::", https_proxy: "" })).toEqual([])
  })
})
