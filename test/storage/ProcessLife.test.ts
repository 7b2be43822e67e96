import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope, Stream } from "effect"
import { noCoverage } from "../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../src/domain/Coverage.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { lastLife } from "../../src/storage/JournalUpkeep.ts"
import * as ProcessLife from "../../src/storage/ProcessLife.ts"
import { queryPlansOf } from "../support/queryPlans.ts"
import { storage } from "../support/storage.ts"

const second = 1_000_000
const startedAt = 1_700_000_000 * second

const live = (name: string, startedAt: number) =>
  ProcessLife.layer({ process: { name, startedAt }, server: "test" })

const stream = { exchange: "binance", symbol: "btcusdt", dataType: "trade" } as const

describe("the life of a process", () => {
  it.scopedLive("starts before it received anything, even if the database was opened later", () =>
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

  it.scopedLive(
    "leaves behind what was in doubt and which times came twice, for readers that lack those entries",
    () =>
      Effect.gen(function* () {
        const journal = yield* EventJournal
        const at = (seconds: number) => startedAt + seconds * second
        yield* Scope.extend(Layer.build(live("killed", startedAt)), yield* Scope.make())
        const other = { ...stream, symbol: "ethusdt" }
        yield* journal.append(
          { _tag: "RecordingStarted", at: at(1), streams: [stream, other] },
          { _tag: "StreamConnected", at: at(2), stream, connection: "1" },
          { _tag: "StreamUnreadable", at: at(9), stream, reason: "compressed", after: at(8) },
          { _tag: "StreamSilent", at: at(20), stream: other, seconds: 10, action: "moved", isOpen: true },
          { _tag: "StreamHeard", at: at(21), stream: other, after: at(10) },
          { _tag: "StreamSilent", at: at(40), stream: other, seconds: 10, action: "moved", isOpen: true },
          { _tag: "ClockStepped", at: at(15), from: at(45), to: at(15) }
        )
        const unsettled = {
          doubts: [
            { stream, reason: "unreadable", since: at(8) },
            { stream: other, reason: "silent", since: at(15) }
          ],
          setBack: [{ from: at(45), to: at(15) }]
        }
        expect(yield* lastLife).toMatchObject({ value: { process: "killed", unsettled } })
        const next = yield* Scope.make()
        yield* Scope.extend(Layer.build(live("next", at(60))), next)
        expect(yield* lastLife).toMatchObject({
          value: { process: "next", unsettled: { doubts: [], setBack: unsettled.setBack } }
        })
        yield* Scope.close(next, Exit.void)
        const entries = Array.from(yield* Stream.runCollect(journal.entries), ({ event }) => event)
        expect(entries.slice(-2)).toMatchObject([
          { _tag: "ProcessStarted", previous: { process: "killed", unsettled } },
          { _tag: "ProcessStopped", process: "next", unsettled: { doubts: [], setBack: unsettled.setBack } }
        ])
      }).pipe(Effect.provide(storage))
  )

  it.scopedLive("reads what is unsettled through an index", () =>
    Effect.gen(function* () {
      yield* Layer.build(live("running", startedAt))
      expect(yield* queryPlansOf(lastLife, /FROM journal/)).toEqual([
        [expect.stringContaining("USING INDEX journal_unsettling")]
      ])
    }).pipe(Effect.provide(storage))
  )
})
