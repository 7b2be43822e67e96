import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Scope, Stream } from "effect"
import { applyToCoverage, noCoverage } from "../../src/domain/Coverage.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import * as ProcessLife from "../../src/storage/ProcessLife.ts"
import { storage } from "../support/storage.ts"

const second = 1_000_000
const startedAt = 1_700_000_000 * second

const live = (name: string, startedAt: number) =>
  ProcessLife.layer({ process: { name, startedAt }, server: "test" })

const stream = { exchange: "binance", symbol: "btcusdt", dataType: "trade" } as const

describe("the life of a process", () => {
  it.scopedLive("begins before it received anything, although the database was opened later", () =>
    Effect.gen(function* () {
      const journal = yield* EventJournal
      // It is killed: what it leaves behind is never closed.
      yield* Scope.extend(Layer.build(live("killed", startedAt)), yield* Scope.make())
      yield* journal.append(
        { _tag: "RecordingStarted", at: startedAt + second, streams: [stream] },
        { _tag: "StreamConnected", at: startedAt + 2 * second, stream, connection: "1" }
      )
      yield* Layer.build(live("next", startedAt + 60 * second))
      const entries = yield* Stream.runCollect(journal.entries)
      const coverage = [...entries].reduce(applyToCoverage, noCoverage)
      expect([...entries].filter(({ event }) => event._tag === "ProcessStarted")).toMatchObject([
        { at: startedAt, event: { previous: null } },
        {
          at: startedAt + 60 * second,
          event: { previous: { process: "killed", lastSeen: startedAt } }
        }
      ])
      // It committed nothing, so nothing counts as covered.
      const covered = [...coverage.streams].flatMap(([, { connected }]) =>
        [...connected].map(({ from, to }) => to - from)
      )
      expect(covered).toEqual([0])
    }).pipe(Effect.provide(storage))
  )
})
