import dns from "node:dns"
import { connect as connectTcp, getDefaultAutoSelectFamilyAttemptTimeout, type Socket } from "node:net"
import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import { Effect, Option, Redacted, Schedule } from "effect"
import { addressAttemptMillis } from "../src/addressAttempts.ts"
import { defaultTimeouts, makeClient } from "../src/archive/s3/Client.ts"
import { fetchInstruments } from "../src/exchange/fetchInstruments.ts"
import { okx } from "../src/exchange/venues/okx.ts"
import { connect } from "../src/exchange/WebSocket.ts"
import { startNode } from "./support/process.ts"

/** A server for all that connects: WebSockets, a list of instruments, and empty answers. */
const program = `
  const { WebSocketServer } = require("ws")
  const list = JSON.stringify({ data: [{ instId: "BTC-USDT", state: "live" }] })
  const server = require("node:http").createServer((_, response) => response.end(list))
  new WebSocketServer({ server })
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log("port " + server.address().port))`

/**
 * Such a server that answers a handshake late, as on a slow link: its process is stopped and its backlog full, so that the
 * client's first packet gets no answer, and the one that the system sends again after 1 s does.
 */
const slowly = <A, E, R>(act: (port: number) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const child = yield* startNode(["-e", program], { cwd: process.cwd(), env: {} })
    const port = Number((yield* child.awaitLine(/^port \d+/)).split(" ")[1])
    yield* child.signal("SIGSTOP")
    const others: Array<Socket> = []
    yield* Effect.addFinalizer(() => Effect.sync(() => others.forEach((other) => other.destroy())))
    for (let i = 0; i < 8; i++) others.push(connectTcp({ port, host: "127.0.0.1" }).on("error", () => {}))
    yield* Effect.repeat(Effect.sleep("20 millis"), {
      until: () => others.filter(({ connecting }) => !connecting).length >= 2
    })
    yield* Effect.forkScoped(Effect.delay(child.signal("SIGCONT"), "400 millis"))
    return yield* act(port)
  }).pipe(
    Effect.scoped,
    // A machine that is too busy to go on within a second may miss the second packet, too.
    Effect.retry(Schedule.recurs(4))
  )

/** A name of two addresses, of which only the first one has a route to the server. */
const addresses = [
  { address: "127.0.0.1", family: 4 },
  { address: "::1", family: 6 }
]

describe("a name whose addresses are slow or dead", () => {
  beforeEach(() => {
    const lookup = (...args: ReadonlyArray<unknown>) => {
      const done = args.at(-1)
      if (typeof done === "function") process.nextTick(done, null, addresses)
    }
    vi.spyOn(dns, "lookup").mockImplementation(Object.assign(lookup, { __promisify__: dns.promises.lookup }))
  })
  afterEach(() => void vi.restoreAllMocks())

  it("leaves enough time for each, within the limits of whoever connects", () => {
    expect(getDefaultAutoSelectFamilyAttemptTimeout()).toBe(addressAttemptMillis)
    expect(addressAttemptMillis).toBeGreaterThan(4 * 2 * 160)
  })

  it.scopedLive("is connected to by a WebSocket", () =>
    slowly((port) =>
      connect(`ws://dual.test:${port}/`, { onMessage: () => {}, onPing: () => {}, onPong: () => {} })
    )
  )

  it.scopedLive("is asked for its instruments", () =>
    Effect.gen(function* () {
      const instruments = yield* slowly((port) => fetchInstruments(okx, `http://dual.test:${port}`))
      expect(instruments).toEqual([{ symbol: "BTC-USDT", state: "traded" }])
    })
  )

  it.scopedLive("is an object store", () =>
    Effect.gen(function* () {
      const status = yield* slowly((port) =>
        Effect.gen(function* () {
          const send = yield* makeClient(
            {
              _tag: "S3",
              region: "us-east-1",
              bucket: "b",
              endpoint: Option.some(new URL(`http://dual.test:${port}`)),
              credentials: Option.some({
                accessKeyId: "a",
                secretAccessKey: Redacted.make("b"),
                sessionToken: Option.none()
              })
            },
            defaultTimeouts
          )
          const { HeadBucketCommand } = yield* Effect.promise(() => import("@aws-sdk/client-s3"))
          return yield* send((client, options) =>
            client.send(new HeadBucketCommand({ Bucket: "b" }), options)
          )
        })
      )
      expect(status.$metadata.httpStatusCode).toBe(200)
    })
  )
})
