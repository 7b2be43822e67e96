import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Scope } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { connect, members, numberIn, until } from "./client.ts"

describe("the simulator as a server", () => {
  it.scopedLive("closes with 1008 on a sixth message within a second, pings included", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      const client = yield* connect(simulator.url())
      for (let id = 1; id <= 3; id++) yield* client.send({ method: "LIST_SUBSCRIPTIONS", id })
      yield* client.ping
      yield* client.ping
      yield* client.receive(3)
      yield* until("pongs", () => client.pongs.length === 2)
      expect(client.pongs).toEqual(["hello", "hello"])
      for (let id = 4; id <= 9; id++) yield* client.send({ method: "LIST_SUBSCRIPTIONS", id })
      expect(yield* client.awaitClose).toEqual({ code: 1008, reason: "Too many requests" })
    })
  )

  it.scopedLive("pings, and closes on those who do not answer", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ pingEvery: "300 millis", pongWithin: "1 second" })
      const deaf = yield* connect(simulator.url(), { autoPong: false })
      const client = yield* connect(simulator.url())
      expect(yield* deaf.awaitClose).toEqual({ code: 1008, reason: "Pong timeout" })
      expect(deaf.pings.length).toBeGreaterThanOrEqual(1)
      yield* Effect.sleep("700 millis")
      expect(client.pings.length).toBeGreaterThanOrEqual(2)
      expect(client.closed()).toBeUndefined()
    })
  )

  it.scopedLive("says in one line that a port is taken", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      const error = yield* Effect.flip(Simulator.make({ port: simulator.port }))
      expect(error._tag).toBe("ResourceUnavailable")
      expect(error.message).toContain(`127.0.0.1:${simulator.port}`)
      expect(error.message).not.toContain("\n")
    })
  )

  it.scopedLive("frees its port and closes all connections when it stops", () =>
    Effect.gen(function* () {
      const outer = yield* Effect.scope
      const { client, port } = yield* Effect.scoped(
        Effect.gen(function* () {
          const simulator = yield* Simulator.make({ rate: "max" })
          const client = yield* Scope.extend(connect(simulator.url("/ws/btcusdt@trade")), outer)
          yield* client.receive(10)
          return { client, port: simulator.port }
        })
      )
      expect((yield* client.awaitClose).code).toBe(1001)
      yield* Simulator.make({ port })
    })
  )

  it.scopedLive("records every message once, as it was sent", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "record.jsonl")
      const simulator = yield* Simulator.make({ rate: 100, record: path })
      const streams = ["btcusdt@trade", "btcusdt@depth20@100ms", "btcusdt@depth@100ms"]
      const client = yield* connect(simulator.url(`/stream?streams=${streams.join("/")}`))
      yield* client.receive(60)
      yield* simulator.inject({ _tag: "duplicates", count: 5 })
      yield* simulator.inject({ _tag: "skip", count: 2 })
      yield* simulator.inject({ _tag: "garbage" })
      yield* client.receive(150)
      const got = client.frames.filter((frame) =>
        /^\{"stream":"[^"]+","data":\{"(e|lastUpdateId)".*\}\}$/.test(frame)
      )
      yield* simulator.flush
      const lines = readFileSync(path, "utf8").trimEnd().split("\n")
      const sent = lines.map((line) => {
        const { id, stream, text } = members(line)
        const idMember = { trade: "t", depth20: "lastUpdateId", depth: "u" }[
          String(stream).split("@")[1] ?? ""
        ]
        expect(id).toBe(String(numberIn(String(text), idMember ?? "")))
        return `{"stream":"${stream}","data":${text}}`
      })
      expect(new Set(sent).size).toBe(sent.length)
      const distinct = [...new Set(got)]
      expect(distinct.length).toBeLessThan(got.length)
      expect(sent.slice(0, distinct.length)).toEqual(distinct)
      const { streams: counts } = yield* simulator.status
      expect(Object.keys(counts).sort()).toEqual([...streams].sort())
    })
  )

  it.scopedLive("says when the record cannot be written", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Simulator.make({ record: "/nowhere/at/all/record.jsonl" }))
      expect(error.message).toContain("/nowhere/at/all/record.jsonl")
    })
  )

  it.scopedLive("is controlled over HTTP", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "record.jsonl")
      const simulator = yield* Simulator.make({ rate: 50, record: path })
      const ask = (method: string, path: string) =>
        Effect.promise(async () => {
          const response = await fetch(simulator.httpUrl(path), { method })
          return { status: response.status, body: members(await response.text()) }
        })
      const client = yield* connect(simulator.url("/ws/btcusdt@trade"))
      yield* client.receive(5)
      const { body: status } = yield* ask("GET", "/control/status")
      expect(status).toMatchObject({
        accepted: 1,
        connections: [
          { id: 1, target: "/ws/btcusdt@trade", subscriptions: ["btcusdt@trade"], silent: false }
        ],
        streams: { "btcusdt@trade": { firstId: String(numberIn(client.frames[0] ?? "", "t")) } }
      })
      expect(yield* ask("POST", "/control/flush")).toEqual({ status: 200, body: { flushed: true } })
      expect(readFileSync(path, "utf8").split("\n").length).toBeGreaterThan(5)
      expect((yield* ask("POST", "/control/skip?count=none")).status).toBe(400)
      expect((yield* ask("GET", "/control/close")).status).toBe(405)
      expect((yield* ask("POST", "/control/explode")).status).toBe(404)
      expect((yield* ask("GET", "/")).status).toBe(404)
      expect((yield* ask("POST", "/control/refuse?for=60000")).status).toBe(200)
      expect((yield* Effect.flip(connect(simulator.url()))).reason).toContain("503")
      expect((yield* ask("POST", "/control/heal")).status).toBe(200)
      yield* connect(simulator.url())
      expect(yield* ask("POST", "/control/close?code=4000&reason=bye%20now")).toEqual({
        status: 200,
        body: { fault: "close", affected: 2 }
      })
      expect(yield* client.awaitClose).toEqual({ code: 4000, reason: "bye now" })
    })
  )
})

/** A folder that goes with the scope. */
const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "simulator-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)
