import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseFault } from "../../src/simulator/Fault.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { connect, isData, numberIn, until } from "./client.ts"

const trade = "btcusdt@trade"
const idsOf = (frames: ReadonlyArray<string>) => frames.map((frame) => numberIn(frame, "t"))
const holesIn = (ids: ReadonlyArray<number>) =>
  ids.slice(1).flatMap((id, i) => (id === (ids[i] ?? 0) + 1 ? [] : [id - (ids[i] ?? 0) - 1]))

describe("faults", () => {
  it.scopedLive("close: a close frame with code and reason", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      const client = yield* connect(simulator.url())
      expect(yield* simulator.inject({ _tag: "close", code: 4321, reason: "because" })).toEqual({
        fault: "close",
        affected: 1
      })
      expect(yield* client.awaitClose).toEqual({ code: 4321, reason: "because" })
      yield* connect(simulator.url())
    })
  )

  it.scopedLive("terminate: no close frame", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      const client = yield* connect(simulator.url())
      yield* simulator.inject({ _tag: "terminate" })
      expect((yield* client.awaitClose).code).toBe(1006)
      yield* until("no connections", () => Effect.runSync(simulator.status).connections.length === 0)
    })
  )

  it.scopedLive("shutdown: the exchange's notice, raw and wrapped", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      const raw = yield* connect(simulator.url("/ws"))
      const combined = yield* connect(simulator.url("/stream"))
      yield* simulator.inject({ _tag: "shutdown" })
      expect((yield* raw.receive(1))[0]).toMatch(/^\{"e":"serverShutdown","E":\d+\}$/)
      expect((yield* combined.receive(1))[0]).toMatch(
        /^\{"stream":"!serverShutdown","data":\{"e":"serverShutdown","E":\d+\}\}$/
      )
    })
  )

  it.scopedLive("shutdown for a time: also to every new connection", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      yield* simulator.inject({ _tag: "shutdown", for: 600_000 })
      const drained = yield* connect(simulator.url("/ws"))
      expect((yield* drained.receive(1))[0]).toContain("serverShutdown")
      yield* simulator.heal
      const healed = yield* connect(simulator.url(`/ws/${trade}`))
      expect((yield* healed.receive(1))[0]).not.toContain("serverShutdown")
    })
  )

  it.scopedLive("silence: open connections get nothing at all, new ones do", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 50, pingEvery: "250 millis" })
      const client = yield* connect(simulator.url(`/ws/${trade}`))
      yield* client.receive(3)
      yield* until("pings", () => client.pings.length > 0)
      yield* simulator.inject({ _tag: "silence" })
      yield* Effect.sleep("100 millis")
      const before = [client.frames.length, client.pings.length]
      yield* client.ping
      yield* client.send({ method: "LIST_SUBSCRIPTIONS", id: 1 })
      const other = yield* connect(simulator.url(`/ws/${trade}`))
      yield* other.receive(25)
      expect([client.frames.length, client.pings.length]).toEqual(before)
      expect(client.pongs).toEqual([])
      expect(client.closed()).toBeUndefined()
      const { connections } = yield* simulator.status
      expect(connections.map((connection) => connection.silent)).toEqual([true, false])
      yield* simulator.heal
      yield* client.receive((before[0] ?? 0) + 3)
      expect(holesIn(idsOf(client.frames)).length).toBe(1)
    })
  )

  it.scopedLive("silence for a time, also at full speed", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: "max" })
      const client = yield* connect(simulator.url(`/ws/${trade}`))
      yield* client.receive(100)
      yield* simulator.inject({ _tag: "silence", for: 300 })
      const sent = (yield* simulator.status).connections[0]?.frames ?? 0
      yield* client.receive(sent + 1_000)
    })
  )

  it.scopedLive("silence of one stream ends when it is asked for again, unless it is sticky", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 50 })
      const client = yield* connect(simulator.url(`/stream?streams=${trade}/ethusdt@trade`))
      const ofBtc = (frame: string) => frame.includes(`"${trade}"`)
      const count = () => client.frames.filter(ofBtc).length
      yield* client.receive(3, ofBtc)
      expect((yield* simulator.inject({ _tag: "silence", stream: trade })).affected).toBe(1)
      yield* Effect.sleep("100 millis")
      const before = count()
      const others = client.frames.length - before
      yield* client.receive(others + 5, (frame) => !ofBtc(frame))
      expect(count()).toBe(before)
      yield* client.send({ method: "SUBSCRIBE", params: [trade], id: 1 })
      yield* client.receive(before + 3, ofBtc)

      yield* simulator.inject({ _tag: "silence", stream: trade, sticky: true })
      yield* Effect.sleep("100 millis")
      const later = count()
      yield* client.send({ method: "UNSUBSCRIBE", params: [trade], id: 2 })
      yield* client.send({ method: "SUBSCRIBE", params: [trade], id: 3 })
      yield* client.receive(1, (frame) => frame === '{"result":null,"id":3}')
      yield* Effect.sleep("200 millis")
      expect(count()).toBe(later)
      const next = yield* connect(simulator.url(`/ws/${trade}`))
      yield* next.receive(3)
    })
  )

  it.scopedLive("garbage: all kinds in turn, or one", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      const client = yield* connect(simulator.url("/stream?streams=nosuch@trade"))
      yield* simulator.inject({ _tag: "garbage" })
      const [text = "", truncated = "", shape = "", binary = "", noId = ""] = yield* client.receive(5)
      expect(text).toMatch(/^</)
      expect(truncated).toMatch(/^\{"stream":"nosuch@trade","data":\{"lastUpdateId".*[^}]$/)
      expect(shape).toContain("unheard of")
      expect(binary).toBe("<binary>")
      expect(noId).toMatch(/"data":\{"bids":/)
      yield* simulator.inject({ _tag: "garbage", kind: "shape", count: 3 })
      yield* client.receive(4, (frame) => frame === shape)
    })
  )

  it.scopedLive("duplicates: now, and after a reconnect", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 50, idle: "wait" })
      const client = yield* connect(simulator.url(`/ws/${trade}`))
      yield* client.receive(10)
      yield* simulator.inject({ _tag: "duplicates", count: 5 })
      yield* until("duplicates", () => new Set(client.frames).size === client.frames.length - 5)
      yield* simulator.inject({ _tag: "duplicates", count: 4, when: "reconnect", stream: trade })
      yield* client.close
      yield* client.awaitClose
      yield* until("nobody there", () => Effect.runSync(simulator.status).connections.length === 0)
      const sent = (yield* simulator.status).streams[trade]
      const next = yield* connect(simulator.url(`/ws/${trade}`))
      const last = Number(sent?.lastId)
      const ids = idsOf(yield* next.receive(6))
      expect(ids.slice(0, 4)).toEqual([last - 3, last - 2, last - 1, last])
      // Messages that were made while the other connection was closing went to nobody.
      const [fresh = 0, behind] = ids.slice(4)
      expect(fresh).toBeGreaterThan(last)
      expect(behind).toBe(fresh + 1)
      const status = (yield* simulator.status).streams[trade]
      expect(status?.duplicates).toBe(9)
      expect(status?.frames).toBe((status?.messages ?? 0) + 9)
    })
  )

  it.scopedLive("skip: ids that were never sent", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 50 })
      const client = yield* connect(simulator.url(`/stream?streams=${trade}/btcusdt@depth@100ms`))
      const ofTrade = (frame: string) => frame.includes('"e":"trade"')
      yield* client.receive(5, ofTrade)
      yield* simulator.inject({ _tag: "skip", stream: trade, count: 3 })
      yield* until("a hole", () => holesIn(idsOf(client.frames.filter(ofTrade))).length > 0)
      yield* client.receive(client.frames.filter(ofTrade).length + 3, ofTrade)
      expect(holesIn(idsOf(client.frames.filter(ofTrade)))).toEqual([3])
      const diffs = () => client.frames.filter((frame) => frame.includes("depthUpdate"))
      const breaks = () =>
        diffs()
          .slice(1)
          .filter((frame, i) => numberIn(frame, "U") !== numberIn(diffs()[i] ?? "", "u") + 1).length
      expect(breaks()).toBe(0)
      yield* simulator.inject({ _tag: "skip", stream: "btcusdt@depth@100ms" })
      yield* until("a broken chain", () => breaks() === 1)
      expect((yield* simulator.status).streams[trade]?.withheld).toBe(3)
    })
  )

  it.scopedLive("refuse: no upgrades for a time", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      yield* simulator.inject({ _tag: "refuse", for: 60_000 })
      expect((yield* Effect.flip(connect(simulator.url()))).reason).toContain("503")
      yield* simulator.inject({ _tag: "refuse", for: 200, status: 451 })
      expect((yield* Effect.flip(connect(simulator.url()))).reason).toContain("451")
      yield* Effect.sleep("250 millis")
      yield* connect(simulator.url())
      expect((yield* simulator.status).refused).toBe(2)
    })
  )

  it.scopedLive("burst: many messages at once", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 1 })
      const client = yield* connect(simulator.url())
      yield* client.send({ method: "SUBSCRIBE", params: [trade], id: 1 })
      yield* client.receive(1)
      yield* simulator.inject({ _tag: "burst", count: 2_000 })
      const ids = idsOf(yield* client.receive(2_000, isData))
      expect(holesIn(ids)).toEqual([])
    })
  )

  it.scopedLive("can be repeated on schedule", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({
        fault: { _tag: "close", code: 1012 },
        faultEvery: "100 millis"
      })
      const one = yield* connect(simulator.url())
      expect((yield* one.awaitClose).code).toBe(1012)
      const two = yield* connect(simulator.url())
      expect((yield* two.awaitClose).code).toBe(1012)
    })
  )

  it("are read from text", () => {
    expect(parseFault("terminate")).toMatchObject({ right: { _tag: "terminate" } })
    expect(parseFault("skip?stream=btcusdt@trade&count=3")).toMatchObject({
      right: { _tag: "skip", stream: "btcusdt@trade", count: 3 }
    })
    expect(parseFault("silence?sticky=true&for=10")).toMatchObject({
      right: { _tag: "silence", sticky: true, for: 10 }
    })
    for (const text of ["explode", "close?code=1006", "skip?count=0", "skip?number=3", "garbage?kind=odd"]) {
      expect(parseFault(text)).toMatchObject({ _tag: "Left", left: expect.stringMatching(/^.+$/) })
    }
  })
})
