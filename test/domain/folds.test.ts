import { describe, expect, it } from "@effect/vitest"
import { FastCheck, HashMap, Option, Schema } from "effect"
import { applyToArchives, archiveTags, emptyArchiveState } from "../../src/domain/ArchiveState.ts"
import { beginOf } from "../../src/domain/Coverage/during.ts"
import { endOfJournal } from "../../src/domain/Coverage/ending.ts"
import { beginJournal } from "../../src/domain/Coverage/journals.ts"
import { type Coverage, noCoverage, type StreamCoverage } from "../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../src/domain/Coverage.ts"
import { daysOf, holesOf, wantedIn } from "../../src/domain/CoverageReport.ts"
import {
  type Heard,
  type JournalEntry,
  JournalEvent,
  type ProcessStarted
} from "../../src/domain/JournalEvent.ts"
import { applyToNeeded, neededIds, noneNeeded } from "../../src/domain/NeededEntries.ts"
import { type StreamId, streamKey } from "../../src/domain/StreamId.ts"
import { difference, intersection, lengthOf, type Window } from "../../src/domain/Window.ts"
import { runs } from "../support/runs.ts"
import { book, newYear, trade } from "../support/snapshots.ts"
import { journals, killedProcesses, recordings, shifted } from "./events.ts"

const everything = { from: 0, to: Number.MAX_SAFE_INTEGER }

const archivesOf = (entries: ReadonlyArray<JournalEntry>, from = emptyArchiveState) =>
  entries.reduce((state, { event }) => applyToArchives(state, event), from)

const neededOf = (entries: ReadonlyArray<JournalEntry>) =>
  neededIds(entries.reduce(applyToNeeded, noneNeeded))

const coverageOf = (entries: ReadonlyArray<JournalEntry>) => entries.reduce(applyToCoverage, noCoverage)

/** A later message of the stream is counted: what was covered before it is proven. */
const later = (stream: StreamId = book): JournalEntry => {
  const at = newYear + 365 * 86_400_000_000
  const counts = {
    hour: Math.floor(newYear / 3_600_000_000),
    messages: 1,
    first: newYear + 1_000_000,
    last: at
  }
  return { id: 0, at: newYear, event: { _tag: "MessagesCommitted", stream, ...counts } }
}

describe("the journal's events", () => {
  it("are read back as they were written", () => {
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
  it("is the same however the journal is cut, and whatever unneeded entries are pruned", () => {
    FastCheck.assert(
      FastCheck.property(journals, FastCheck.nat(40), (entries, cut) => {
        const whole = archivesOf(entries)
        const prefix = archivesOf(entries.slice(0, cut))
        expect(plain(archivesOf(entries.slice(cut), prefix).pending)).toEqual(plain(whole.pending))
        const tags: ReadonlySet<string> = new Set(archiveTags)
        expect(plain(archivesOf(entries.filter(({ event }) => tags.has(event._tag))).pending)).toEqual(
          plain(whole.pending)
        )
        const needed = neededOf(entries.slice(0, cut))
        const pruned = entries.flatMap((entry, n) =>
          n >= cut ? [entry] : needed.has(entry.id) ? [{ ...entry, isKept: true }] : []
        )
        expect(plain(archivesOf(pruned).pending)).toEqual(plain(whole.pending))
        const doubts = new Set(
          entries.filter(({ event }) => /^Stream(Silent|Unreadable)$/.test(event._tag)).map(({ id }) => id)
        )
        const others = (ids: ReadonlySet<number>) => Array.from(ids).filter((id) => !doubts.has(id))
        expect(new Set(others(neededOf(pruned)))).toEqual(new Set(others(neededOf(entries))))
        const connections = (kept: ReadonlyArray<JournalEntry>) =>
          HashMap.map(coverageOf(kept).streams, ({ open }) => plain(HashMap.remove(open, "")))
        const open = (kept: ReadonlyArray<JournalEntry>) =>
          HashMap.filter(connections(kept), (each) => each.length > 0)
        expect(plain(open(pruned))).toEqual(plain(open(entries)))
        // A symbol that was delisted for a while ended doubts; that may not be known any more: at least as much is in doubt.
        const streams = coverageOf(pruned).streams
        for (const [key, { lasting }] of coverageOf(entries).streams) {
          for (const [reason, since] of lasting) {
            const kept = HashMap.get(streams, key).pipe(
              Option.flatMap((coverage) => HashMap.get(coverage.lasting, reason))
            )
            expect(Option.getOrElse(kept, () => Number.POSITIVE_INFINITY)).toBeLessThanOrEqual(since)
          }
        }
      })
    )
  })
})

describe("coverage", () => {
  it("divides the time of a day into verified, unverifiable and excluded, whatever happened", () => {
    FastCheck.assert(
      FastCheck.property(journals, FastCheck.boolean(), (entries, isProvable) => {
        const coverage = endOfJournal(coverageOf(entries))
        for (const recorded of HashMap.values(coverage.streams)) {
          let messages = 0
          for (const day of daysOf(recorded, everything, isProvable)) {
            messages += day.messages
            expect(day.verifiedPercent + day.unverifiablePercent + day.excludedPercent).toBeCloseTo(100)
            expect(day.connected + day.down).toBe(day.wanted)
            expect(lengthOf(day.exclude)).toBeLessThanOrEqual(day.wanted)
            expect(day.hours.reduce((sum, { wanted }) => sum + wanted, 0)).toBe(day.wanted)
            expect(isProvable ? day.unverifiablePercent : day.verifiedPercent).toBe(0)
          }
          const counted = entries.reduce(
            (sum, { event }) =>
              event._tag === "MessagesCommitted" && event.stream.dataType === recorded.stream.dataType
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
    const [coverage] = Array.from(HashMap.values(endOfJournal(coverageOf([...entries, later()])).streams))
    expect(coverage).toBeDefined()
    if (coverage === undefined) return
    expect(coverage.wanted).toEqual({ from: at(0), to: at(90) })
    expect(holesOf(coverage, coverage.wanted)).toEqual([
      { from: at(20), to: at(61), reasons: ["down"] },
      { from: at(68), to: at(70), reasons: ["gap"] },
      { from: at(75), to: at(76) + 1, reasons: ["dropped"] }
    ])
    const [day] = daysOf(coverage, everything, true)
    expect(day?.gaps).toMatchObject([{ size: 4 }])
    expect(day?.connected).toBe(48_000_000)
  })
})

describe("the time before the first message ever", () => {
  const at = (seconds: number) => newYear + seconds * 1_000_000
  const hour = Math.floor(newYear / 3_600_000_000)
  const message: JournalEvent = {
    _tag: "MessagesCommitted",
    stream: book,
    hour,
    messages: 5,
    first: at(10),
    last: at(12)
  }
  const holesOfFirst = (...list: ReadonlyArray<readonly [number, JournalEvent]>) => {
    const entries = [
      started(1, at(0), null),
      { id: 2, at: at(0), event: { _tag: "RecordingStarted", at: at(0), streams: [book] } } as const,
      ...[...list, stopped].map(
        ([seconds, event], n): JournalEntry => ({ id: n + 3, at: at(seconds), event })
      )
    ]
    const [coverage] = Array.from(HashMap.values(endOfJournal(coverageOf(entries)).streams))
    return coverage === undefined
      ? []
      : [
          wantedIn(coverage, everything).map(({ from }) => (from - newYear) / 1e6),
          holesOf(coverage, coverage.wanted)
        ]
  }
  const stopped: readonly [number, JournalEvent] = [
    12,
    { _tag: "ProcessStopped", process: "p", lastSeen: at(12), heard: { "1": at(12) } }
  ]
  const connected = { _tag: "StreamConnected", at: at(7), stream: book, connection: "1" } as const

  it("is neither missing nor covered", () => {
    expect(holesOfFirst([7, connected], [12, message])).toEqual([[10], []])
  })

  it("is missing if something is known to be", () => {
    const dropped = { _tag: "MessagesDropped", stream: book, first: at(3), last: at(4), count: 2 } as const
    expect(holesOfFirst([5, dropped], [7, connected], [12, message])).toEqual([
      [3],
      [{ from: at(3), to: at(10), reasons: ["down", "dropped", "unproven"] }]
    ])
    const unreadable = {
      _tag: "StreamUnreadable",
      stream: book,
      reason: "compressed",
      at: at(8),
      after: at(8)
    } as const
    const readable = {
      _tag: "StreamReadable",
      at: at(10),
      stream: book,
      frames: 9,
      kept: 9,
      after: at(10)
    } as const
    expect(holesOfFirst([7, connected], [8, unreadable], [10, readable], [12, message])).toEqual([
      [8 - 1e-6],
      [{ from: at(8) - 1, to: at(10), reasons: ["unreadable", "unproven"] }]
    ])
  })

  it("is missing while no message has arrived", () => {
    expect(holesOfFirst()).toEqual([[0], [{ from: at(0), to: at(12), reasons: ["down"] }]])
  })
})

describe("a connection", () => {
  const at = (seconds: number) => newYear + seconds * 1_000_000
  const connected = (id: number, time: number, connection: string): JournalEntry => ({
    id,
    at: time,
    event: { _tag: "StreamConnected", at: time, stream: book, connection }
  })
  const recorded = [
    started(1, at(0), null),
    { id: 2, at: at(0), event: { _tag: "RecordingStarted", at: at(0), streams: [book] } },
    connected(3, at(0), "1")
  ] satisfies ReadonlyArray<JournalEntry>
  const holesAfter = (...entries: ReadonlyArray<JournalEntry>) => {
    const [coverage] = Array.from(
      HashMap.values(endOfJournal(coverageOf([...recorded, ...entries, later()])).streams)
    )
    return coverage === undefined ? [] : holesOf(coverage, coverage.wanted)
  }
  const stopped = (id: number, time: number, heard: Heard): JournalEntry => ({
    id,
    at: time,
    event: { _tag: "ProcessStopped", process: "p", lastSeen: time, heard }
  })

  it("that was silent before the end of its process is not covered from then on", () => {
    expect(holesAfter(stopped(4, at(30), { "1": at(21) }))).toEqual([
      { from: at(21) + 1, to: at(30), reasons: ["down"] }
    ])
  })

  it("that was silent before its process was killed is not covered from then on", () => {
    const next = started(4, at(60), { process: "p", lastSeen: at(30), heard: { "1": at(21) } })
    expect(holesAfter(next, connected(5, at(61), "2"))).toEqual([
      { from: at(21) + 1, to: at(61), reasons: ["down"] }
    ])
  })

  it("of which nothing was noted is covered only as long as it was known to work", () => {
    const next = started(4, at(60), { process: "p", lastSeen: at(30), heard: {} })
    expect(holesAfter(next, connected(5, at(61), "2"))).toEqual([
      { from: at(1), to: at(61), reasons: ["down"] }
    ])
  })

  it("that was heard until the end of its process leaves no hole", () => {
    expect(holesAfter(stopped(4, at(30), { "1": at(29.9) }))).toEqual([])
  })

  it("that fell silent before it ended is not covered from then on", () => {
    const ended: JournalEntry = {
      id: 4,
      at: at(40),
      event: {
        _tag: "StreamDisconnected",
        at: at(40),
        stream: book,
        connection: "1",
        heard: at(10),
        kind: "idle",
        reason: "nothing was heard for 30 s",
        code: null
      }
    }
    const end = stopped(6, at(50), { "2": at(50) })
    expect(holesAfter(ended, connected(5, at(41), "2"), end)).toEqual([
      { from: at(10) + 1, to: at(41), reasons: ["down"] }
    ])
  })
})

describe("the time after the last message of a stream", () => {
  const at = (seconds: number) => newYear + seconds * 1_000_000
  const alive = (id: number, seconds: number): JournalEntry => ({
    id,
    at: at(seconds),
    event: { _tag: "ProcessAlive", process: "p", lastSeen: at(seconds), heard: { "1": at(seconds) } }
  })
  const counted = (id: number, last: number, first = 0): JournalEntry => {
    const hour = Math.floor(newYear / 3_600_000_000)
    const counts = { stream: book, hour, messages: 5, first: at(first), last: at(last) }
    return { id, at: at(last), event: { _tag: "MessagesCommitted", ...counts } }
  }
  const recorded = [
    started(1, at(0), null),
    { id: 2, at: at(0), event: { _tag: "RecordingStarted", at: at(0), streams: [book] } },
    { id: 3, at: at(0), event: { _tag: "StreamConnected", at: at(0), stream: book, connection: "1" } },
    counted(4, 20)
  ] satisfies ReadonlyArray<JournalEntry>
  const stopped = (id: number, seconds: number): JournalEntry => ({
    id,
    at: at(seconds),
    event: { _tag: "ProcessStopped", process: "p", lastSeen: at(seconds), heard: { "1": at(seconds) } }
  })
  const coverage = (...entries: ReadonlyArray<JournalEntry>) =>
    Option.getOrThrow(
      HashMap.get(endOfJournal(coverageOf([...recorded, ...entries])).streams, streamKey(book))
    )
  const holes = (recorded: StreamCoverage) => holesOf(recorded, recorded.wanted)

  it("is not claimed while its process runs, and is not a hole once the next message arrives", () => {
    const quiet = coverage(alive(5, 60))
    expect(quiet.wanted).toEqual({ from: at(0), to: at(20) + 1 })
    expect(holes(quiet)).toEqual([])
    const lively = coverage(alive(5, 60), counted(6, 70), alive(7, 75))
    expect(lively.wanted).toEqual({ from: at(0), to: at(70) + 1 })
    expect(holes(lively)).toEqual([])
  })

  it.each([
    ["stopped", [stopped(5, 60)], at(60)],
    ["was killed", [started(5, at(90), { process: "p", lastSeen: at(60), heard: { "1": at(60) } })], at(60)]
  ])("is in doubt once its process %s", (_, entries, to) => {
    expect(holes(coverage(...entries))[0]).toEqual({ from: at(20), to, reasons: ["unproven"] })
    expect(Array.from(coverage(...entries).doubts)).toEqual([{ from: at(20), to, reason: "unproven" }])
  })

  it("is not in doubt for the moments before a process stopped", () => {
    expect(holes(coverage(stopped(5, 20.9)))).toEqual([])
  })

  it("is covered in the next journal from its first message on", () => {
    const before = endOfJournal(coverageOf([...recorded, alive(5, 60)]))
    const connected = (id: number, seconds: number, connection: string): JournalEntry => ({
      id,
      at: at(seconds),
      event: { _tag: "StreamConnected", at: at(seconds), stream: book, connection }
    })
    const begun = [
      started(1, at(100), null),
      { id: 2, at: at(100), event: { _tag: "RecordingStarted", at: at(100), streams: [book] } },
      connected(3, 101, "1"),
      connected(4, 105, "2"),
      {
        id: 5,
        at: at(108),
        event: {
          _tag: "StreamDisconnected",
          at: at(108),
          stream: book,
          connection: "1",
          heard: at(108),
          kind: "replaced",
          reason: "another connection has taken over",
          code: null
        }
      },
      counted(6, 120, 110),
      {
        id: 7,
        at: at(120),
        event: { _tag: "ProcessStopped", process: "p", lastSeen: at(120), heard: { "2": at(120) } }
      }
    ] satisfies ReadonlyArray<JournalEntry>
    const after = begun.reduce(applyToCoverage, beginJournal(before, { after: 0, goesBack: false }))
    const coverage = Option.getOrThrow(HashMap.get(endOfJournal(after).streams, streamKey(book)))
    expect(difference(wantedIn(coverage, everything), holes(coverage))).toEqual([
      { from: at(110), to: at(120) }
    ])
  })

  it("is not covered if the database was lost and another one begins", () => {
    const before = endOfJournal(coverageOf([...recorded, alive(5, 60)]))
    const begun = [
      started(1, at(100), null),
      { id: 2, at: at(100), event: { _tag: "RecordingStarted", at: at(100), streams: [book] } },
      { id: 3, at: at(101), event: { _tag: "StreamConnected", at: at(101), stream: book, connection: "1" } },
      counted(4, 120),
      alive(5, 120)
    ] satisfies ReadonlyArray<JournalEntry>
    const after = begun.reduce(applyToCoverage, beginJournal(before, { after: 0, goesBack: false }))
    const coverage = Option.getOrThrow(HashMap.get(endOfJournal(after).streams, streamKey(book)))
    expect(difference(wantedIn(coverage, everything), holes(coverage))).toEqual([
      { from: at(101), to: at(120) }
    ])
  })
})

describe("a clock that was set", () => {
  const at = (seconds: number) => newYear + seconds * 1_000_000
  const recording = [
    started(1, at(0), null),
    { id: 2, at: at(0), event: { _tag: "RecordingStarted", at: at(0), streams: [book] } },
    { id: 3, at: at(0), event: { _tag: "StreamConnected", at: at(0), stream: book, connection: "1" } }
  ] satisfies ReadonlyArray<JournalEntry>
  const step = (from: number, to: number): JournalEntry => ({
    id: 4,
    at: to,
    event: { _tag: "ClockStepped", at: to, from, to }
  })
  const holesUpTo = (lastSeen: number, ...entries: ReadonlyArray<JournalEntry>) => {
    const [coverage] = HashMap.values(
      endOfJournal(coverageOf([...recording, ...entries, later()]), lastSeen).streams
    )
    return coverage === undefined ? [] : holesOf(coverage, coverage.wanted)
  }

  it("forward leaves the skipped time in doubt", () => {
    expect(holesUpTo(at(90), step(at(10), at(70)))).toEqual([
      { from: at(10), to: at(70) + 1, reasons: ["down", "clock"] }
    ])
  })

  it("back leaves the time that came twice in doubt, and covers what follows", () => {
    expect(holesUpTo(at(90), step(at(60), at(20)))).toEqual([
      { from: at(20), to: at(60) + 1, reasons: ["clock"] }
    ])
  })

  it("forward while a stream is silent leaves it in doubt since its last message", () => {
    const silent = { _tag: "StreamSilent", at: at(80), stream: book, seconds: 20, isOpen: true } as const
    const heard = { _tag: "StreamHeard", at: at(85), stream: book, after: at(5) } as const
    expect(
      holesUpTo(
        at(90),
        step(at(15), at(70)),
        { id: 5, at: at(80), event: { ...silent, action: "resubscribed" } },
        { id: 6, at: at(85), event: heard }
      )
    ).toEqual([{ from: at(5), to: at(85), reasons: ["down", "clock", "silent"] }])
  })

  it("back covers nothing that the process did not live to see", () => {
    const next = started(5, at(80), { process: "p", lastSeen: at(60), heard: { "1": at(30) } })
    const again: JournalEntry = {
      id: 6,
      at: at(81),
      event: { _tag: "StreamConnected", at: at(81), stream: book, connection: "2" }
    }
    expect(holesUpTo(at(90), step(at(60), at(20)), next, again)).toEqual([
      { from: at(20), to: at(81), reasons: ["down", "clock"] }
    ])
  })
})

describe("covered time", () => {
  it("ends at the last sign of life of a dead process, whatever it journalled about later times", () => {
    FastCheck.assert(
      FastCheck.property(killedProcesses, ({ entries, lives }) => {
        const { streams } = endOfJournal(coverageOf(entries))
        for (const coverage of HashMap.values(streams)) {
          const safe = lives.map(({ begin, lastSafe }) => ({ from: begin, to: lastSafe }))
          expect(difference(coverage.connected, safe)).toEqual([])
          expect(lengthOf(coverage.connected)).toBe(
            lives.reduce((sum, { connections, lastSafe }) => {
              const own = connections.map(({ from, to }) => ({ from, to: Math.min(to, lastSafe) }))
              return sum + lengthOf(own)
            }, 0)
          )
        }
      })
    )
  })

  it("is not withdrawn by later entries", () => {
    FastCheck.assert(
      FastCheck.property(killedProcesses, FastCheck.nat(60), ({ entries }, cut) => {
        const whole = endOfJournal(coverageOf(entries))
        const prefix = endOfJournal(coverageOf(entries.slice(0, cut)))
        for (const [key, coverage] of prefix.streams) {
          const later = Option.getOrThrow(HashMap.get(whole.streams, key))
          expect(difference(coverage.connected, later.connected)).toEqual([])
        }
      })
    )
  })

  it("excludes every journalled gap, drop and doubt, each on one day", () => {
    FastCheck.assert(
      FastCheck.property(journals, FastCheck.integer({ min: -20, max: 20 }), (all, seconds) => {
        // The middle of the journal is at midnight.
        const shift = seconds * 1_000_000 - 20_000_000
        const entries = all.map((entry) => shifted(entry, shift))
        const { streams } = endOfJournal(coverageOf(entries))
        for (const coverage of HashMap.values(streams)) {
          const days = daysOf(coverage, everything, true)
          const told = <A extends Window>(list: Iterable<A>) =>
            Array.from(list).filter(
              (window) =>
                intersection([window], [{ from: beginOf(coverage), to: coverage.wanted.to }]).length > 0
            )
          const shown = days.flatMap(({ doubts, drops, gaps }) => [...gaps, ...drops, ...doubts])
          for (const window of [...told(coverage.gaps), ...told(coverage.drops), ...told(coverage.doubts)]) {
            expect(shown.filter((other) => other === window).length).toBe(1)
            const own = days.flatMap(({ exclude }) => exclude)
            const within = wantedIn(coverage, window)
            expect(difference(within, own)).toEqual([])
          }
        }
      })
    )
  })
})

describe("a journal with missing entries", () => {
  const whole = (coverage: StreamCoverage) =>
    difference(wantedIn(coverage, everything), holesOf(coverage, everything))
  const verified = (entries: ReadonlyArray<JournalEntry>) =>
    Array.from(HashMap.values(endOfJournal(coverageOf(entries)).streams)).flatMap(whole)

  it("never has more verified time than the complete one", () => {
    FastCheck.assert(
      FastCheck.property(recordings, FastCheck.nat(80), FastCheck.nat(80), (entries, from, length) => {
        const to = Math.min(from + length, entries.length - 1)
        const cut = entries.filter((_, n) => n < from || n >= to)
        expect(difference(verified(cut), verified(entries))).toEqual([])
        const doubts = endOfJournal(coverageOf(cut)).missing
        expect(Array.from(doubts).length).toBe(to > from ? 1 : 0)
      }),
      { numRuns: runs(300) }
    )
  })

  it("never has more verified time because of kept entries", () => {
    FastCheck.assert(
      FastCheck.property(recordings, FastCheck.nat(80), (entries, cut) => {
        const needed = neededOf(entries.slice(0, cut))
        const pruned = entries.flatMap((entry, n) =>
          n >= cut ? [entry] : needed.has(entry.id) ? [{ ...entry, isKept: true }] : []
        )
        expect(difference(verified(pruned), verified(entries))).toEqual([])
      }),
      { numRuns: runs(300) }
    )
  })

  const at = (seconds: number) => newYear + seconds * 1_000_000
  const hour = Math.floor(newYear / 3_600_000_000)
  const stream = book
  const committed = (first: number, last: number): JournalEvent => ({
    _tag: "MessagesCommitted",
    stream,
    hour,
    messages: 5,
    first: at(first),
    last: at(last)
  })
  const alive = (seconds: number, archived = seconds): JournalEvent => ({
    _tag: "ProcessAlive",
    process: "p",
    lastSeen: at(seconds),
    archivedBefore: at(archived)
  })
  const begin: ReadonlyArray<readonly [number, number, JournalEvent]> = [
    [1, 0, started(1, at(0), null).event],
    [2, 0, { _tag: "RecordingStarted", at: at(0), streams: [stream] }],
    [3, 0, { _tag: "StreamConnected", at: at(0), stream, connection: "1" }],
    [4, 10, committed(1, 9)],
    [5, 10, alive(10)]
  ]
  const entriesOf = (list: ReadonlyArray<readonly [number, number, JournalEvent]>) =>
    list.map(([id, seconds, event]): JournalEntry => ({ id, at: at(seconds), event }))
  const holes = (list: ReadonlyArray<readonly [number, number, JournalEvent]>) => {
    const coverage = endOfJournal(coverageOf(entriesOf(list)))
    return Array.from(HashMap.values(coverage.streams)).flatMap((recorded) =>
      holesOf(recorded, everything).map(({ from, reasons, to }) => [
        (from - newYear) / 1e6,
        (to - newYear) / 1e6,
        ...reasons
      ])
    )
  }

  it("is in doubt from the last message before to the first entry after, and no longer if messages still arrive", () => {
    expect(
      holes([
        ...begin,
        [9, 30, { _tag: "DiskSpace", at: at(30), state: "low", free: 1, database: 1 }],
        [10, 40, committed(11, 39)],
        [11, 40, alive(40)]
      ])
    ).toEqual([[9, 30, "down", "journal"]])
    expect(holes([...begin, [9, 30, committed(11, 29)], [10, 40, alive(40)]])).toEqual([
      [9, 29.000001, "down", "journal"]
    ])
    expect(
      holes([...begin.slice(0, -1), [5, 10, alive(10, 4)], [9, 30, committed(11, 39)], [10, 40, alive(40)]])
    ).toEqual([[4, 30, "down", "journal"]])
  })

  it("is in doubt for longer if the first entry after may have been journalled late", () => {
    const connected = { _tag: "StreamConnected", at: at(30), stream, connection: "2" } as const
    expect(holes([...begin, [9, 30, connected], [10, 99, committed(31, 99)], [11, 99, alive(99)]])).toEqual([
      [9, 90, "down", "journal"]
    ])
    const dropped = { _tag: "MessagesDropped", stream, count: 2, first: at(12), last: at(15) } as const
    expect(
      holes([
        ...begin,
        [9, 15, dropped],
        [10, 30, alive(30)],
        [11, 31, { ...connected, at: at(31) }],
        [12, 99, committed(31, 99)],
        [13, 99, alive(99)]
      ])
    ).toEqual([[9, 31, "down", "dropped", "journal"]])
    const gap = { rule: "counter", scope: "stream", expected: 1, received: 3, size: 2 } as const
    const lost: readonly [number, number, JournalEvent] = [
      8,
      22,
      { _tag: "GapDetected", at: at(22), stream, ...gap, after: at(20), before: at(22) }
    ]
    const rest = [
      [9, 15, dropped],
      [10, 40, committed(16, 39)],
      [11, 99, committed(40, 99)],
      [12, 99, alive(99)]
    ] as const
    expect(holes([...begin, [6, 12, committed(10, 11)], [7, 12, alive(12)], lost, ...rest])).toEqual([
      [12, 15.000001, "dropped"],
      [20, 22, "gap"]
    ])
    expect(holes([...begin, ...rest])).toEqual([[9, 40, "down", "dropped", "journal"]])
  })

  it("is in doubt before its first entry", () => {
    expect(
      holes([
        [7, 30, alive(30)],
        [8, 40, committed(11, 39)],
        [9, 40, alive(40)]
      ])
    ).toEqual([[11, 30, "down", "journal"]])
  })

  it("is in doubt since then for an unreadable stream, even if the clock was set meanwhile", () => {
    const readable = { _tag: "StreamReadable", at: at(90), stream, frames: 1, kept: 1, after: null } as const
    expect(
      holes([
        [7, 30, alive(30)],
        [8, 40, { _tag: "StreamConnected", at: at(40), stream, connection: "2" }],
        [9, 80, { _tag: "ClockStepped", at: at(80), from: at(60), to: at(80) }],
        [10, 90, readable],
        [11, 95, committed(41, 95)],
        [12, 95, alive(95)]
      ])
    ).toEqual([[40, 90, "down", "clock", "unreadable", "unproven"]])
  })

  it.each([
    ["keeps failing", []],
    ["was given up", [{ _tag: "ArchiveAbandoned", archiveId: "a", key: "a", reason: "" }]]
  ] as const)("whose database is lost is in doubt from the oldest archive that %s", (_, given) => {
    const archived = (archiveId: string, firstId: number): ReadonlyArray<JournalEvent> => [
      {
        _tag: "ArchivePlanned",
        plan: { archiveId, stream, date: "2026-01-01", firstId, lastId: firstId + 4, key: archiveId }
      },
      { _tag: "ArchiveWritten", archiveId, file: { rows: 5, size: 1, sha256: "" } }
    ]
    const purged = (archiveId: string): JournalEvent => ({ _tag: "ArchivePurged", archiveId })
    const doubtsAfter = (...events: ReadonlyArray<JournalEvent>) => {
      const list = [committed(11, 19), committed(21, 29), ...events, alive(50)]
      const entries = [...begin, ...list.map((event, n) => [6 + n, 50, event] as const)]
      const next = beginJournal(endOfJournal(coverageOf(entriesOf(entries))), { after: 0, goesBack: false })
      return Array.from(HashMap.values(next.streams)).flatMap((coverage) =>
        Array.from(coverage.doubts)
          .filter(({ reason }) => reason === "journal")
          .map(({ from }) => (from - newYear) / 1e6)
      )
    }
    const three = [...archived("a", 1), ...given, ...archived("b", 6), ...archived("c", 11)]
    expect(doubtsAfter(...three, purged("b"))).toEqual([1])
    expect(doubtsAfter(...three, purged("c"), purged("b"))).toEqual([1])
    // The rows of one that was given up go into another one.
    const rest = given.length > 0 ? [...archived("d", 1), purged("d")] : [purged("a")]
    expect(doubtsAfter(...three, purged("b"), ...rest)).toEqual([21])
    expect(doubtsAfter(...three, purged("c"), purged("b"), ...rest)).toEqual([])
  })

  it("without signs of what is archived, and where purges are out of turn, leaves all in doubt that may be in no archive", () => {
    const told: JournalEvent = { _tag: "ProcessAlive", process: "p", lastSeen: at(10) }
    // The archive with the first five messages was planned in the missing entries, and keeps failing.
    const plan = { archiveId: "b", stream, date: "2026-01-01", firstId: 6, lastId: 10, key: "b" }
    const file = { rows: 5, size: 1, sha256: "" }
    const state = coverageOf(
      entriesOf([
        ...begin.slice(0, -1),
        [5, 10, told],
        [9, 30, committed(11, 29)],
        [10, 30, { _tag: "ArchivePlanned", plan }],
        [11, 31, { _tag: "ArchiveWritten", archiveId: "b", file }],
        [12, 32, { _tag: "ArchivePurged", archiveId: "b" }],
        [13, 33, { ...told, lastSeen: at(33) }]
      ])
    )
    const of = (coverage: Coverage) => Option.getOrThrow(HashMap.get(coverage.streams, streamKey(stream)))
    expect(of(endOfJournal(state, 0, undefined, { isAlone: true })).wanted.to).toBe(at(1))
    const next = beginJournal(endOfJournal(state), { after: 0, goesBack: false })
    const lost = Array.from(of(next).doubts).filter(({ reason }) => reason === "journal")
    expect(Math.min(...lost.map(({ from }) => from))).toBe(at(1))
  })

  it("continues after a copy of its database was restored, and what was in no archive is in doubt", () => {
    const list = [
      ...begin,
      [6, 20, committed(10, 19)],
      [7, 20, alive(20)],
      [4, 30, { ...started(4, at(30), { process: "p", lastSeen: at(5) }).event }],
      [5, 31, { _tag: "StreamConnected", at: at(31), stream, connection: "2" }],
      [6, 40, committed(32, 39)],
      [7, 40, alive(40)]
    ] as const
    expect(holes(list)).toEqual([[1, 32, "down", "journal", "unproven"]])
  })
})

describe("a stream that cannot be read, or is silent", () => {
  const at = (seconds: number) => newYear + seconds * 1_000_000
  const journal = (...list: ReadonlyArray<readonly [number, JournalEvent]>) =>
    list.map(([seconds, event], n): JournalEntry => ({ id: n + 1, at: at(seconds), event }))
  const connected: ReadonlyArray<readonly [number, JournalEvent]> = [
    [0, started(0, at(0), null).event],
    [0, { _tag: "RecordingStarted", at: at(0), streams: [book] }],
    [9, { _tag: "StreamConnected", at: at(9), stream: book, connection: "1", since: at(1) }]
  ]
  const unreadable = [
    20,
    { _tag: "StreamUnreadable", at: at(20), stream: book, reason: "compressed", after: at(18) }
  ] as const
  const alive = (seconds: number) =>
    [seconds, { _tag: "ProcessAlive", process: "p", lastSeen: at(seconds) }] as const
  const holes = (entries: ReadonlyArray<JournalEntry>) => {
    const coverage = Option.getOrThrow(
      HashMap.get(endOfJournal(coverageOf([...entries, later()])).streams, streamKey(book))
    )
    return holesOf(coverage, coverage.wanted)
  }

  const readable = [
    30,
    { _tag: "StreamReadable", at: at(30), stream: book, frames: 9, kept: 9, after: at(18) }
  ] as const

  it.each([
    ["is in doubt for all of that time", [unreadable]],
    ["is so also where the entry is missing that told that it began", []]
  ])("%s", (_, began) => {
    expect(holes(journal(...connected, ...began, readable, alive(60)))).toEqual([
      { from: at(18), to: at(30), reasons: ["unreadable"] }
    ])
  })

  it("is in doubt until the end of a process that is killed meanwhile", () => {
    const next = started(0, at(90), { process: "p", lastSeen: at(60) }).event
    expect(holes(journal(...connected, unreadable, [90, next], alive(91)))).toEqual([
      { from: at(18), to: at(60), reasons: ["unreadable"] }
    ])
    expect(holes(journal(...connected, unreadable, alive(60)))).toEqual([
      { from: at(18), to: at(60), reasons: ["unreadable"] }
    ])
  })

  it("is silent until it is heard, and in older journals for as long as was journalled", () => {
    const silent = { _tag: "StreamSilent", at: at(40), stream: book, seconds: 10, action: "moved" } as const
    const heard = { _tag: "StreamHeard", at: at(50), stream: book, after: at(30) } as const
    const open = { ...silent, isOpen: true } as const
    expect(holes(journal(...connected, [40, open], [50, heard], alive(60)))).toEqual([
      { from: at(30), to: at(50), reasons: ["silent"] }
    ])
    expect(holes(journal(...connected, [40, open], alive(60)))).toEqual([
      { from: at(30), to: at(60), reasons: ["silent"] }
    ])
    expect(holes(journal(...connected, [40, silent], alive(60)))).toEqual([
      { from: at(30), to: at(40), reasons: ["silent"] }
    ])
  })

  it("keeps frames that no stream claims", () => {
    const aside: StreamId = { exchange: book.exchange, symbol: "*", dataType: "unreadable" }
    const hour = Math.floor(at(20) / 3_600_000_000)
    const counts = { stream: aside, messages: 7, hour, first: at(20), last: at(20) }
    const entries = journal(...connected, [30, { _tag: "MessagesCommitted", ...counts }], alive(60))
    expect(Array.from(HashMap.keys(coverageOf(entries).streams))).toEqual([streamKey(book)])
  })
})

describe("what is to be recorded", () => {
  const at = (seconds: number) => newYear + seconds * 1_000_000
  const day = 86_400
  const listed = (tag: "SymbolListed" | "SymbolDelisted", seconds: number): JournalEvent => ({
    _tag: tag,
    at: at(seconds),
    exchange: book.exchange,
    symbol: book.symbol
  })
  const events = (...list: ReadonlyArray<readonly [number, JournalEvent]>) =>
    list.map(([seconds, event], n): JournalEntry => ({ id: n + 1, at: at(seconds), event }))
  const recording = (seconds: number, streams: ReadonlyArray<StreamId>) =>
    [seconds, { _tag: "RecordingStarted", at: at(seconds), streams }] as const
  const process = (seconds: number) => [seconds, started(0, at(seconds), null).event] as const
  const connected = (seconds: number, connection: string) =>
    [seconds, { _tag: "StreamConnected", at: at(seconds), stream: book, connection }] as const
  const disconnected = (seconds: number, connection: string) =>
    [
      seconds,
      {
        _tag: "StreamDisconnected",
        at: at(seconds),
        stream: book,
        connection,
        kind: "empty",
        reason: "",
        code: null
      }
    ] as const
  const alive = (seconds: number) =>
    [seconds, { _tag: "ProcessAlive", process: "p", lastSeen: at(seconds) }] as const
  const coverageAfter = (entries: ReadonlyArray<JournalEntry>) =>
    Option.getOrThrow(HashMap.get(endOfJournal(coverageOf([...entries, later()])).streams, streamKey(book)))

  it("excludes a removed stream, even if the next process journals its last messages", () => {
    const { wanted } = coverageAfter(
      events(
        process(0),
        recording(0, [book, trade]),
        connected(1, "1"),
        [100, { _tag: "ProcessStopped", process: "p" }],
        process(200),
        [
          201,
          {
            _tag: "MessagesCommitted",
            stream: book,
            hour: Math.floor(at(0) / 3_600_000_000),
            messages: 7,
            first: at(2),
            last: at(99)
          }
        ],
        recording(202, [trade]),
        alive(3 * day)
      )
    )
    expect(wanted).toEqual({ from: at(0), to: at(100) })
  })

  it("includes a stream while its symbol is listed, whatever is journalled later", () => {
    const until = events(
      process(0),
      connected(1, "1"),
      disconnected(50, "1"),
      [50, listed("SymbolDelisted", 50)],
      alive(day)
    )
    expect(coverageAfter(until)).toMatchObject({ wanted: { from: at(1), to: at(50) }, isWanted: false })
    expect(Array.from(coverageAfter(until).connected)).toMatchObject([{ from: at(1), to: at(50) }])
    const needed = neededOf(until)
    const pruned = until.filter(({ id, event }) => needed.has(id) || event._tag === "ProcessAlive")
    expect(HashMap.size(endOfJournal(coverageOf(pruned)).streams)).toBe(0)
  })

  it("includes a stream again when its symbol is listed again, neither down nor connected in between", () => {
    const coverage = coverageAfter(
      events(
        process(0),
        connected(0, "1"),
        disconnected(50, "1"),
        [50, listed("SymbolDelisted", 50)],
        [60, listed("SymbolListed", 60)],
        connected(61, "2"),
        alive(100)
      )
    )
    expect(holesOf(coverage, coverage.wanted)).toEqual([{ from: at(60), to: at(61), reasons: ["down"] }])
    const [of100] = daysOf(coverage, everything, true)
    expect(of100).toMatchObject({ wanted: 89e6, connected: 88e6, down: 1e6, excludedPercent: 100 / 89 })
    expect(of100?.hours[0]?.wanted).toBe(89e6)
  })

  it("has no day on which the symbol was not listed, even if the process restarted meanwhile", () => {
    const coverage = coverageAfter(
      events(
        process(0),
        connected(0, "1"),
        disconnected(50, "1"),
        [50, listed("SymbolDelisted", 50)],
        alive(60),
        process(day),
        connected(3 * day + 10, "2"),
        alive(3 * day + 20)
      )
    )
    expect(daysOf(coverage, everything, true).map(({ down, wanted }) => [wanted, down])).toEqual([
      [49e6, 0],
      [10e6, 0]
    ])
  })

  it("includes a stream recorded by name, whatever is listed", () => {
    const coverage = coverageAfter(
      events(
        process(0),
        recording(0, [book]),
        connected(0, "1"),
        [50, listed("SymbolDelisted", 50)],
        [60, listed("SymbolListed", 60)],
        alive(100)
      )
    )
    expect(holesOf(coverage, coverage.wanted)).toEqual([])
    expect(coverage.wanted).toEqual({ from: at(0), to: at(100) })
  })

  it("counts messages only in the requested hours", () => {
    const hour = Math.floor(at(0) / 3_600_000_000)
    const committed = (n: number) =>
      [
        n * 3600,
        {
          _tag: "MessagesCommitted",
          stream: book,
          hour: hour + n,
          messages: 10 ** n,
          first: at(n * 3600),
          last: at(n * 3600 + 10)
        }
      ] as const
    const coverage = coverageAfter(
      events(recording(0, [book]), committed(0), committed(1), committed(2), committed(3))
    )
    const within = { from: at(3600), to: at(2.5 * 3600) }
    const days = daysOf(coverage, within, true)
    expect(days.map(({ messages }) => messages)).toEqual([110])
    expect(days[0]?.hours.slice(0, 4).map(({ messages }) => messages)).toEqual([0, 10, 100, 0])
  })
})

/** The same whatever the order in which it was filled. */
const plain = <A>(map: HashMap.HashMap<string, A>) =>
  HashMap.toEntries(map).sort(([a], [b]) => (a < b ? -1 : 1))

const started = (
  id: number,
  at: number,
  previous: (typeof ProcessStarted.Type)["previous"]
): JournalEntry => ({
  id,
  at,
  event: { _tag: "ProcessStarted", process: "q", server: "s", version: "1", previous }
})
