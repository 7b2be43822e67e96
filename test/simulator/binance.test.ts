import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { binance } from "../../src/simulator/binance.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { capturedFrames, captureFiles, haveCaptures } from "../support/captures.ts"
import { connect, isData, members, numberIn } from "./client.ts"

describe("the protocol of Binance spot", () => {
  it.scopedLive("acknowledges, lists and ends subscriptions", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 50 })
      const client = yield* connect(simulator.url("/ws"))
      yield* client.send({ method: "SUBSCRIBE", params: ["btcusdt@trade", "nosuch@trade"], id: 1 })
      expect(yield* client.receive(1)).toEqual(['{"result":null,"id":1}'])
      yield* client.receive(3, isData)
      yield* client.send({ method: "LIST_SUBSCRIPTIONS", id: "abc" })
      expect(yield* client.receive(1, (frame) => frame.includes("abc"))).toEqual([
        '{"result":["btcusdt@trade","nosuch@trade"],"id":"abc"}'
      ])
      yield* client.send({ method: "UNSUBSCRIBE", params: ["btcusdt@trade"], id: null })
      yield* client.receive(1, (frame) => frame === '{"result":null,"id":null}')
      const before = client.frames.length
      yield* Effect.sleep("200 millis")
      expect(client.frames.length).toBe(before)
      expect((yield* simulator.status).connections[0]?.subscriptions).toEqual(["nosuch@trade"])
    })
  )

  it.scopedLive("stays silent on streams that do not exist", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 100, symbols: ["btcusdt"] })
      const client = yield* connect(simulator.url())
      const params = [
        "BTCUSDT@trade",
        "ethusdt@trade",
        "btcusdt@depth30",
        "btcusdt@depth20@50ms",
        "btcusdt",
        "@trade"
      ]
      yield* client.send({ method: "SUBSCRIBE", params, id: 1 })
      yield* client.receive(1)
      yield* Effect.sleep("200 millis")
      expect(client.frames).toEqual(['{"result":null,"id":1}'])
    })
  )

  it.scopedLive("refuses what it does not understand", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      const client = yield* connect(simulator.url())
      yield* client.send("{not json")
      yield* client.send({ method: "FOO", id: 20 })
      yield* client.send({ method: "SUBSCRIBE", params: "btcusdt@trade", id: 3 })
      yield* client.send({ method: "SUBSCRIBE", params: ["btcusdt@trade"], id: [] })
      yield* client.send({ id: 4 })
      const answers = yield* client.receive(5)
      expect(answers.map((answer) => [members(answer).code, members(answer).id])).toEqual([
        [3, undefined],
        [2, 20],
        [2, 3],
        [2, undefined],
        [2, 4]
      ])
      expect(answers[1]).toContain("unknown variant `FOO`")
      expect(client.closed()).toBeUndefined()
    })
  )

  it.scopedLive("has errors in the shape that was asked for", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({
        protocol: (market) => binance({ ...market, errors: "nested" })
      })
      const client = yield* connect(simulator.url())
      yield* client.send({ method: "FOO", id: 20 })
      expect((yield* client.receive(1))[0]).toBe(
        '{"error":{"code":2,"msg":"Invalid request: unknown variant `FOO`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"},"id":20}'
      )
    })
  )

  it.scopedLive("wraps messages on combined endpoints only", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 20 })
      const combined = yield* connect(simulator.url("/stream?streams=btcusdt@trade/ethusdt@depth5@100ms"))
      const raw = yield* connect(simulator.url("/ws/btcusdt@trade"))
      yield* raw.receive(5)
      yield* combined.receive(20)
      expect(
        combined.frames.every((frame) =>
          /^\{"stream":"(btcusdt@trade|ethusdt@depth5@100ms)","data":\{.*\}\}$/.test(frame)
        )
      ).toBe(true)
      expect(raw.frames.every((frame) => frame.startsWith('{"e":"trade","E":'))).toBe(true)
      const payloads = combined.frames.map((frame) =>
        frame.replace(/^\{"stream":"[^"]+","data":(.*)\}$/, "$1")
      )
      expect(payloads).toEqual(expect.arrayContaining(raw.frames.slice(0, 3)))
    })
  )

  it.scopedLive("switches the envelope by SET_PROPERTY", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 50 })
      const client = yield* connect(simulator.url("/ws/btcusdt@trade"))
      yield* client.receive(2)
      yield* client.send({ method: "SET_PROPERTY", params: ["combined", true], id: 5 })
      yield* client.receive(2, (frame) => frame.startsWith('{"stream":"btcusdt@trade","data":{'))
      yield* client.send({ method: "GET_PROPERTY", params: ["combined"], id: 6 })
      yield* client.receive(1, (frame) => frame === '{"result":true,"id":6}')
      yield* client.send({ method: "SET_PROPERTY", params: ["colour", true], id: 7 })
      yield* client.receive(1, (frame) => frame === '{"code":0,"msg":"Unknown property","id":7}')
      yield* client.send({ method: "SET_PROPERTY", params: ["combined", 1], id: 8 })
      yield* client.receive(1, (frame) => frame.includes('"id":8') && frame.includes("expected Boolean"))
    })
  )

  it.scopedLive("takes 1024 streams on a connection and no more", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      const client = yield* connect(simulator.url())
      const names = (from: number, count: number) =>
        Array.from({ length: count }, (_, i) => `s${from + i}@trade`)
      yield* client.send({ method: "SUBSCRIBE", params: names(0, 1024), id: 1 })
      yield* client.send({ method: "SUBSCRIBE", params: names(1024, 1), id: 2 })
      const [taken = "", refused = ""] = yield* client.receive(2)
      expect(taken).toBe('{"result":null,"id":1}')
      expect(members(refused).code).toBe(2)
      expect((yield* simulator.status).connections[0]?.subscriptions.length).toBe(1024)
      const url = simulator.url(`/stream?streams=${names(0, 1025).join("/")}`)
      expect((yield* Effect.flip(connect(url))).reason).toContain("400")
    })
  )

  it.scopedLive("does not upgrade other paths", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make()
      expect((yield* Effect.flip(connect(simulator.url("/elsewhere")))).reason).toContain("404")
      expect((yield* simulator.status).refused).toBe(1)
    })
  )

  it.scopedLive("writes trades and books as the exchange does", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 50 })
      const client = yield* connect(
        simulator.url("/stream?streams=btcusdt@trade/btcusdt@depth20@100ms/btcusdt@depth@100ms")
      )
      const started = Date.now()
      yield* client.receive(30)
      const trade = client.frames.find((frame) => frame.includes("@trade")) ?? ""
      expect(trade).toMatch(
        /^\{"stream":"btcusdt@trade","data":\{"e":"trade","E":\d{13},"s":"BTCUSDT","t":\d+,"p":"\d+\.\d{8}","q":"\d+\.\d{8}","T":\d{13},"m":(true|false),"M":true\}\}$/
      )
      expect(Math.abs(numberIn(trade, "E") - started)).toBeLessThan(30_000)
      const book = client.frames.find((frame) => frame.includes("@depth20")) ?? ""
      const levels = '\\[(\\["\\d+\\.\\d{8}","\\d+\\.\\d{8}"\\],?){20}\\]'
      expect(book).toMatch(new RegExp(`"data":{"lastUpdateId":\\d+,"bids":${levels},"asks":${levels}}}$`))
      expect(book.length).toBeGreaterThan(1_200)
      const diff = client.frames.find((frame) => frame.includes("@depth@")) ?? ""
      expect(diff).toMatch(
        /"data":\{"e":"depthUpdate","E":\d{13},"s":"BTCUSDT","U":\d+,"u":\d+,"b":\[.*\],"a":\[.*\]\}\}$/
      )
    })
  )
})

describe.skipIf(!haveCaptures)("recorded traffic (skipped where the captures are missing)", () => {
  it.scopedLive("has the members of recorded frames, in their order", () =>
    Effect.gen(function* () {
      const channels = ["@trade", "@depth20@100ms", "@depth@100ms"]
      const simulator = yield* Simulator.make({ rate: 50 })
      const streams = channels.map((channel) => `btcusdt${channel}`)
      const client = yield* connect(simulator.url(`/stream?streams=${streams.join("/")}`))
      yield* client.receive(30)
      const recorded = captureFiles("binance").flatMap(capturedFrames)
      for (const channel of channels) {
        const ofChannel = (frame: string) => /^\{"stream":"[a-z]+(@[^"]+)"/.exec(frame)?.[1] === channel
        const keys = (frame = "") => frame.match(/"[A-Za-z]+":/g)
        const theirs = keys(recorded.find(ofChannel))
        expect(theirs).not.toBeNull()
        expect(keys(client.frames.find(ofChannel))).toEqual(theirs)
      }
    })
  )
})
