import * as NodeFs from "node:fs"
import { createServer } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { startCollector, startReceiving, workspace } from "../support/collector.ts"
import { httpProxy } from "../support/httpProxy.ts"
import { portableS3 } from "../support/portableS3.ts"
import { makeBucket } from "../support/s3Bucket.ts"
import { filesBelow } from "../support/stored.ts"
import { listening, makeCertificate, opensslMissing, socksProxy, tlsBefore } from "../support/tls.ts"

const credentials = "proxy-user:proxy-password-of-it"

/** An exchange, its REST interface and an S3 server, in clear and behind TLS of an unknown authority. */
const around = Effect.gen(function* () {
  const where = yield* workspace
  const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 30, record: where.record })
  const rest = yield* listening(
    createServer((_, response) =>
      response.end(JSON.stringify({ symbols: [{ symbol: "BTCUSDT", status: "TRADING" }] }))
    )
  )
  const s3 = yield* portableS3
  const bucket = yield* makeBucket(s3)
  const s3Port = Number(new URL(s3.endpoint).port)
  const wsUrl = new URL(simulator.url())
  const urls = (
    scheme: "" | "s",
    ports: { readonly ws: number; readonly rest: number; readonly s3: number }
  ) => ({
    MARKETS: "binance:*usdt:trade",
    BINANCE_WS_URL: `ws${scheme}://localhost:${ports.ws}${wsUrl.pathname}`,
    BINANCE_REST_URL: `http${scheme}://localhost:${ports.rest}`,
    ...bucket.variables(`http${scheme}://localhost:${ports.s3}`)
  })
  return { where, urls, ports: { ws: Number(wsUrl.port), rest, s3: s3Port } }
})

describe.concurrent("proxies", () => {
  it.scopedLive.skipIf(opensslMissing !== undefined)(
    `record and archive through TLS of a private authority, by an HTTP proxy, whose password nobody prints${opensslMissing === undefined ? "" : ` (skipped: ${opensslMissing})`}`,
    () =>
      Effect.gen(function* () {
        const { ports, urls, where } = yield* around
        const certificate = makeCertificate(where.folder)
        const secured = {
          ws: yield* tlsBefore(ports.ws, certificate),
          rest: yield* tlsBefore(ports.rest, certificate),
          s3: yield* tlsBefore(ports.s3, certificate)
        }
        const proxy = yield* httpProxy(credentials)
        const collector = yield* startReceiving(where, {
          ...urls("s", secured),
          LOG_LEVEL: "trace",
          NODE_EXTRA_CA_CERTS: certificate.authority,
          HTTPS_PROXY: `http://${credentials}@127.0.0.1:${proxy.port}`
        })
        yield* collector.awaitLine(/INFO .*archived .*key="?exchange=/)
        expect((yield* collector.stop()).code).toBe(0)
        expect(new Set(proxy.requests())).toEqual(
          new Set(Object.values(secured).map((port) => `CONNECT localhost:${port}`))
        )
        const logs = filesBelow(where.logs).map((file) =>
          NodeFs.readFileSync(`${where.logs}/${file}`, "utf8")
        )
        expect(logs.length).toBeGreaterThan(0)
        for (const text of [collector.stdout(), collector.stderr(), ...logs]) {
          expect(text).not.toContain("proxy-password-of-it")
          expect(text).not.toContain(Buffer.from(credentials).toString("base64"))
        }
      })
  )

  it.scopedLive("record and archive without TLS, by an HTTP proxy and directly where NO_PROXY says so", () =>
    Effect.gen(function* () {
      const { ports, urls, where } = yield* around
      const proxy = yield* httpProxy(credentials)
      const collector = yield* startReceiving(where, {
        ...urls("", ports),
        HTTP_PROXY: `http://${credentials}@127.0.0.1:${proxy.port}`,
        NO_PROXY: `localhost:${ports.rest}`
      })
      yield* collector.awaitLine(/INFO .*archived .*key="?exchange=/)
      expect((yield* collector.stop()).code).toBe(0)
      const requests = proxy.requests()
      expect(requests).toContain(`CONNECT localhost:${ports.ws}`)
      expect(requests.some((line) => line.startsWith(`PUT http://localhost:${ports.s3}/`))).toBe(true)
      expect(requests.join("\n")).not.toContain(`:${ports.rest}`)
    })
  )

  it.scopedLive("record and archive by a SOCKS proxy", () =>
    Effect.gen(function* () {
      const { ports, urls, where } = yield* around
      const proxy = yield* socksProxy
      const collector = yield* startReceiving(where, {
        ...urls("", ports),
        ALL_PROXY: `socks5h://127.0.0.1:${proxy.port}`
      })
      yield* collector.awaitLine(/INFO .*archived .*key="?exchange=/)
      expect((yield* collector.stop()).code).toBe(0)
      expect(new Set(proxy.connections())).toEqual(
        new Set(Object.values(ports).map((port) => `localhost:${port}`))
      )
    })
  )

  it.scopedLive("keep retrying if the proxy refuses, and print no password", () =>
    Effect.gen(function* () {
      const { ports, urls, where } = yield* around
      const proxy = yield* httpProxy("another:one")
      const collector = yield* startCollector(where, {
        ...urls("", ports),
        MARKETS: "binance:btcusdt:trade",
        LOG_LEVEL: "trace",
        ALL_PROXY: `http://${credentials}@127.0.0.1:${proxy.port}`
      })
      yield* collector.awaitLine(/connection ended.*407/)
      expect((yield* collector.stop()).code).toBe(0)
      expect(proxy.requests().length).toBeGreaterThan(0)
      expect(collector.printed()).not.toContain("proxy-password-of-it")
    })
  )

  it.scopedLive("end the start if a variable is not the URL of a proxy, without its value", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const collector = yield* startCollector(where, { HTTPS_PROXY: `gopher://${credentials}@host` })
      expect((yield* collector.ended).code).toBe(1)
      expect(collector.stderr()).toContain("HTTPS_PROXY must be the URL of a proxy")
      expect(collector.printed()).not.toContain("proxy-password-of-it")
    })
  )
})
