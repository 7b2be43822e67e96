import { describe, expect, it } from "@effect/vitest"
import { FastCheck, HashMap, Schema } from "effect"
import { applyToCoverage, endOfJournal, noCoverage } from "../../src/domain/Coverage.ts"
import { daysOf, holesOf } from "../../src/domain/CoverageReport.ts"
import { type JournalEntry, JournalEvent } from "../../src/domain/JournalEvent.ts"
import { applyEntry, emptyJournalState, neededIds } from "../../src/domain/JournalState.ts"
import { lengthOf } from "../../src/domain/Window.ts"
import { book, newYear } from "../support/snapshots.ts"
import { journals } from "./events.ts"

const everything = { from: 0, to: Number.MAX_SAFE_INTEGER }

const stateOf = (entries: ReadonlyArray<JournalEntry>, from = emptyJournalState) =>
  entries.reduce(applyEntry, from)

const coverageOf = (entries: ReadonlyArray<JournalEntry>) => entries.reduce(applyToCoverage, noCoverage)

describe("the journal's events", () => {
  it("come out of the database as they went in", () => {
    const json = Schema.parseJson(JournalEvent)
    FastCheck.assert(
      FastCheck.property(journals, (entries) => {
        for (const { event } of entries) {
          expect(Schema.decodeSync(json)(Schema.encodeSync(json)(event))).toEqual(event)
        }
      })
    )
  })
})

describe("the archiver's state", () => {
  it("is the same however the journal is cut, and whatever is pruned of it but what it needs", () => {
    FastCheck.assert(
      FastCheck.property(journals, FastCheck.nat(40), (entries, cut) => {
        const whole = stateOf(entries)
        const prefix = stateOf(entries.slice(0, cut))
        expect(plain(stateOf(entries.slice(cut), prefix).pending)).toEqual(plain(whole.pending))
        const needed = neededIds(prefix)
        const pruned = entries.filter(({ id }, n) => n >= cut || needed.has(id))
        const again = stateOf(pruned)
        expect(plain(again.pending)).toEqual(plain(whole.pending))
        expect(neededIds(again)).toEqual(neededIds(whole))
        const connections = (of: ReadonlyArray<JournalEntry>) =>
          HashMap.map(coverageOf(of).streams, ({ open }) => plain(open))
        const open = (of: ReadonlyArray<JournalEntry>) =>
          HashMap.filter(connections(of), (each) => each.length > 0)
        expect(plain(open(pruned))).toEqual(plain(open(entries)))
      })
    )
  })
})

describe("coverage", () => {
  it("divides the time of a day into verified, unverifiable and excluded, whatever happened", () => {
    FastCheck.assert(
      FastCheck.property(journals, FastCheck.boolean(), (entries, isProvable) => {
        const coverage = endOfJournal(coverageOf(entries))
        for (const of of HashMap.values(coverage.streams)) {
          let messages = 0
          for (const day of daysOf(of, everything, isProvable)) {
            messages += day.messages
            expect(day.verifiedPercent + day.unverifiablePercent + day.excludedPercent).toBeCloseTo(100)
            expect(day.connected + day.down).toBe(day.wanted)
            expect(lengthOf(day.exclude)).toBeLessThanOrEqual(day.wanted)
            expect(day.hours.reduce((sum, { wanted }) => sum + wanted, 0)).toBe(day.wanted)
            expect(isProvable ? day.unverifiablePercent : day.verifiedPercent).toBe(0)
          }
          const counted = entries.reduce(
            (sum, { event }) =>
              event._tag === "MessagesCommitted" && event.stream.dataType === of.stream.dataType
                ? sum + event.messages
                : sum,
            0
          )
          expect(messages).toBe(counted)
        }
      })
    )
  })

  it("ends what a killed process had open at its last sign of life", () => {
    const at = (seconds: number) => newYear + seconds * 1_000_000
    const entries: ReadonlyArray<JournalEntry> = [
      started(1, at(0), null),
      { id: 2, at: at(0), event: { _tag: "RecordingStarted", at: at(0), streams: [book] } },
      { id: 3, at: at(1), event: { _tag: "StreamConnected", at: at(1), stream: book, connection: "1" } },
      started(4, at(60), { process: "p", lastSeen: at(20) }),
      { id: 5, at: at(61), event: { _tag: "StreamConnected", at: at(61), stream: book, connection: "1" } },
      {
        id: 6,
        at: at(70),
        event: {
          _tag: "GapDetected",
          at: at(70),
          stream: book,
          rule: "counter",
          scope: "stream",
          expected: 5,
          received: 9,
          size: 4,
          after: at(68),
          before: at(70)
        }
      },
      {
        id: 7,
        at: at(80),
        event: { _tag: "MessagesDropped", stream: book, count: 2, first: at(75), last: at(76) }
      },
      { id: 8, at: at(90), event: { _tag: "ProcessAlive", process: "q", lastSeen: at(90) } }
    ]
    const [of] = Array.from(HashMap.values(endOfJournal(coverageOf(entries)).streams))
    expect(of).toBeDefined()
    if (of === undefined) return
    expect(of.wanted).toEqual({ from: at(0), to: at(90) })
    expect(holesOf(of, of.wanted)).toEqual([
      { from: at(0), to: at(1), reasons: ["down"] },
      { from: at(20), to: at(61), reasons: ["down"] },
      { from: at(68), to: at(70), reasons: ["gap"] },
      { from: at(75), to: at(76) + 1, reasons: ["dropped"] }
    ])
    const [day] = daysOf(of, everything, true)
    expect(day?.gaps).toMatchObject([{ size: 4 }])
    expect(day?.connected).toBe(48_000_000)
  })
})

/** The same whatever the order in which it was filled. */
const plain = <A>(map: HashMap.HashMap<string, A>) =>
  HashMap.toEntries(map).sort(([a], [b]) => (a < b ? -1 : 1))

const started = (
  id: number,
  at: number,
  previous: { readonly process: string; readonly lastSeen: number } | null
): JournalEntry => ({
  id,
  at,
  event: { _tag: "ProcessStarted", process: "q", server: "s", version: "1", previous }
})
