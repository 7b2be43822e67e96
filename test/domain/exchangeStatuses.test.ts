import { describe, expect, it } from "@effect/vitest"
import { HashMap, Schema } from "effect"
import { advanced, CheckpointText, emptyCheckpoint } from "../../src/domain/CoverageCheckpoint.ts"
import {
  applyToStatuses,
  type ExchangeStatuses,
  noStatuses,
  statusesIn
} from "../../src/domain/ExchangeStatuses.ts"
import type { JournalEvent } from "../../src/domain/JournalEvent.ts"
import { applyToNeeded, neededIds, noneNeeded } from "../../src/domain/NeededEntries.ts"
import { makeForgottenEvents } from "../../src/ingest/ForgottenEvents.ts"

const at = (seconds: number) => 1_800_000_000_000_000 + seconds * 1_000_000

type Status = Extract<JournalEvent, { readonly _tag: "ExchangeStatus" }>
const says = (seconds: number, status: string, rest: Partial<Status> = {}): Status => ({
  _tag: "ExchangeStatus",
  at: at(seconds),
  exchange: "kraken",
  status,
  ...rest
})
const entriesOf = (events: ReadonlyArray<JournalEvent>, times: ReadonlyArray<number> = []) =>
  events.map((event, i) => ({
    id: i + 1,
    at: at(times[i] ?? 0),
    ...("at" in event && event.at !== undefined ? { at: event.at } : {}),
    event
  }))
const fold = (...events: ReadonlyArray<JournalEvent>): ExchangeStatuses =>
  entriesOf(events).reduce(applyToStatuses, noStatuses)
const windows = (state: ExchangeStatuses) =>
  statusesIn(state, { from: 0, to: Number.MAX_SAFE_INTEGER }).map(({ from, status, to }) => [
    status,
    from,
    to
  ])

describe("a status message of an exchange", () => {
  it("lasts until the next one", () => {
    const state = fold(
      says(1, "online"),
      says(5, "maintenance"),
      says(5, "online", { exchange: "okx" }),
      says(9, "online")
    )
    expect(windows(state)).toEqual([
      ["online", at(1), at(5)],
      ["maintenance", at(5), at(9)],
      ["online", at(5), null],
      ["online", at(9), null]
    ])
  })

  it("ends with the process", () => {
    const stopped = fold(says(1, "maintenance"), { _tag: "ProcessStopped", process: "p", lastSeen: at(4) })
    expect(windows(stopped)).toEqual([["maintenance", at(1), at(4)]])
    const killed = fold(says(1, "maintenance"), {
      _tag: "ProcessStarted",
      at: at(60),
      process: "q",
      server: "s",
      version: "1",
      previous: { process: "p", lastSeen: at(7) }
    })
    expect(windows(killed)).toEqual([["maintenance", at(1), at(7)]])
  })

  it("is about a moment if its end will not be announced", () => {
    const state = fold(says(1, "online"), says(3, "notice", { isPassing: true }))
    expect(windows(state)).toEqual([
      ["online", at(1), null],
      ["notice", at(3), at(3)]
    ])
  })

  it("stays in the database while the exchange is impaired, whatever its age", () => {
    const needed = (...events: ReadonlyArray<JournalEvent>) =>
      Array.from(neededIds(entriesOf(events).reduce(applyToNeeded, noneNeeded)))
    expect(needed(says(1, "online"), says(2, "cancel_only"), says(3, "maintenance"))).toEqual([3])
    expect(needed(says(2, "maintenance"), says(3, "notice", { isPassing: true }))).toEqual([1])
    expect(needed(says(2, "maintenance"), says(3, "online"))).toEqual([])
    expect(needed(says(2, "maintenance"), { _tag: "ProcessStopped", process: "p" })).toEqual([])
  })

  it("is in a checkpoint while it lasts, and absent from older checkpoints", () => {
    const checkpoint = advanced(
      emptyCheckpoint("j"),
      entriesOf([says(1, "online"), says(2, "maintenance")]),
      "t"
    )
    const text = Schema.encodeSync(CheckpointText)(checkpoint)
    const read = Schema.decodeSync(CheckpointText)(text)
    expect(Array.from(HashMap.values(read.statuses))).toEqual([
      { exchange: "kraken", subject: null, status: "maintenance", text: null, from: at(2) }
    ])
    const { statuses: _, ...before } = JSON.parse(text)
    expect(HashMap.size(Schema.decodeSync(CheckpointText)(JSON.stringify(before)).statuses)).toBe(0)
  })

  it("is journalled in the end, the last of each exchange, however much could not be kept", () => {
    const forgotten = makeForgottenEvents()
    for (const event of [
      says(1, "maintenance"),
      says(1, "maintenance", { exchange: "okx" }),
      says(2, "online"),
      says(3, "notice", { isPassing: true })
    ]) {
      forgotten.add(event)
    }
    expect(forgotten.take()).toEqual([says(2, "online"), says(1, "maintenance", { exchange: "okx" })])
    expect(forgotten.take()).toEqual([])
  })
})
