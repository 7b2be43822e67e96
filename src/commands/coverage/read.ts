import { Chunk, Console, Data, Effect, HashMap, Option, Order, Stream } from "effect"
import type { FoundCheckpoint } from "../../archive/ArchivedCheckpoint.ts"
import type { ArchiveStoreError } from "../../archive/ArchiveStore.ts"
import { dateOf } from "../../domain/Archive.ts"
import {
  applyToClock,
  type ClockMeasurements,
  combined,
  isAboutClock,
  noClockMeasurements
} from "../../domain/ClockMeasurements.ts"
import { forgetOutside } from "../../domain/Coverage/during.ts"
import { endOfJournal } from "../../domain/Coverage/ending.ts"
import { beginJournal } from "../../domain/Coverage/journals.ts"
import { type Coverage, noCoverage, type StreamCoverage } from "../../domain/Coverage/state.ts"
import { applyToCoverage, withoutBearing } from "../../domain/Coverage.ts"
import { resumed } from "../../domain/CoverageCheckpoint.ts"
import {
  applyToStatuses,
  type ExchangeStatuses,
  isAboutStatus,
  noStatuses
} from "../../domain/ExchangeStatuses.ts"
import { type JournalEntry, nothing } from "../../domain/JournalEvent.ts"
import { microsPerDay } from "../../domain/micros.ts"
import { streamKey } from "../../domain/StreamId.ts"
import { intersection, union, type Window } from "../../domain/Window.ts"
import { type JournalSources, wholeJournals } from "../journals.ts"
import type { Selection } from "../selection.ts"
import { type AbsentObjects, expectObjects, type ObjectsMissing } from "./objects.ts"
import { isoOf } from "./render.ts"

/** What a server recorded. */
export interface ServerCoverage {
  readonly server: string
  /** All names it ever had. */
  readonly names: ReadonlySet<string>
  /** In the order of their keys. */
  readonly streams: ReadonlyArray<StreamCoverage>
  /** What is known about its wall clock, by UTC date. */
  readonly clock: ReadonlyMap<string, ClockMeasurements>
  /** Status messages that exchanges sent to it. */
  readonly statuses: ExchangeStatuses
}

/** What the journals say. */
export interface ReadCoverage {
  readonly servers: ReadonlyArray<ServerCoverage>
  /** Keys of archives that were given up: the objects there are not ours. */
  readonly abandoned: ReadonlySet<string>
  /** Servers that are left out because a part of their journal cannot be read. */
  readonly damaged: ReadonlyArray<JournalDamaged>
  /** Servers whose journals lack entries in the requested time. */
  readonly incomplete: ReadonlyArray<JournalIncomplete>
  /** What the archive lacks in the requested time. */
  readonly missing: Option.Option<ObjectsMissing>
}

/** The faults of the journals and the archive. */
export const faultsOf = ({ damaged, incomplete, missing }: ReadCoverage) => [
  ...damaged.slice(0, 1),
  ...incomplete.slice(0, 1),
  ...Option.toArray(missing)
]

/** Fails with the first fault, if any, after reporting the others. */
export const endWithFaults = <E extends Error>(faults: ReadonlyArray<E>): Effect.Effect<void, E> =>
  Effect.gen(function* () {
    const [first, ...others] = faults
    for (const { message } of others) yield* Console.error(message)
    if (first !== undefined) return yield* Effect.fail(first)
  })

/** Entries are missing, for example because a part is gone from the archive: they may have contained anything. */
export class JournalIncomplete extends Data.TaggedError("JournalIncomplete")<{
  readonly server: string
  readonly windows: ReadonlyArray<Window>
}> {
  override get message() {
    const [first, ...others] = this.windows
    const from = first === undefined || first.from <= 0 ? "before" : `from ${isoOf(first.from)} to`
    const time = first === undefined ? "" : ` ${from} ${isoOf(first.to)}`
    const more = others.length === 0 ? "" : `, and ${others.length} more`
    return `server ${this.server}: entries are missing from its journal, the time is in doubt:${time}${more}`
  }
}

/** Without one of its parts a journal proves nothing: that part may have recorded a hole. */
export class JournalDamaged extends Data.TaggedError("JournalDamaged")<{
  readonly server: string
  readonly key: string
  readonly reason: string
}> {
  override get message() {
    return `server ${this.server} is left out, because a part of its journal is damaged and may have told of holes: ${this.key}: ${this.reason}`
  }
}

/**
 * Folds the journals of all servers, restricted to selected streams, and checks whether the archive has the objects that they
 * name. `isCompared`: the counts are compared with the content of the objects, so that what is not archived yet is known to be
 * missing.
 */
export const readCoverage = (
  reading: JournalSources,
  select: Selection,
  { isCompared = false }: { readonly isCompared?: boolean } = {}
) =>
  Effect.gen(function* () {
    const servers = new Map<string, Coverage>()
    const clocks = new Map<string, Map<string, ClockMeasurements>>()
    const said = new Map<string, ExchangeStatuses>()
    let read = 0
    const around = { from: select.range.from - microsPerDay, to: select.range.to + microsPerDay }
    const names = new Map<string, Set<string>>()
    const abandoned = new Set<string>()
    const unreadable = new Map<string, JournalDamaged>()
    const objects = yield* expectObjects(reading.folder, select)
    let isArchiveRead = true
    const journals = yield* wholeJournals(reading, {
      skip: toSkip,
      from: select.range.from,
      orElse: (error) => {
        isArchiveRead = false
        return withoutArchive(error)
      },
      onDamaged: (part) => Effect.sync(() => void unreadable.set(part.key, new JournalDamaged(part)))
    })
    for (const {
      begin,
      checkpoint,
      entriesBehind,
      heard,
      isLive,
      lastSeen,
      server,
      servers: serverNames
    } of journals) {
      names.set(server, new Set([...(names.get(server) ?? []), ...serverNames]))
      const before = beginJournal(servers.get(server) ?? noCoverage, yield* begin)
      const clockBefore = clocks.get(server) ?? new Map<string, ClockMeasurements>()
      const saidBefore = said.get(server) ?? noStatuses
      const archives = objects.beginJournal(server)

      const foldBehind = (start: Option.Option<FoundCheckpoint>) =>
        Effect.gen(function* () {
          const from = Option.getOrElse(
            Option.map(start, ({ checkpoint }) => selected(resumed(before, checkpoint), select)),
            () => before
          )
          let statuses = Option.match(start, {
            onNone: () => saidBefore,
            onSome: ({ checkpoint }) => ({ ...saidBefore, current: checkpoint.statuses })
          })
          const clock = new Map(clockBefore)
          if (Option.isSome(start)) {
            for (const [date, evidence] of start.value.checkpoint.clock) {
              clock.set(date, combined(clock.get(date) ?? noClockMeasurements, evidence))
            }
          }
          const damagedBefore = unreadable.size
          const state = yield* Stream.runFoldEffect(
            Stream.chunks(entriesBehind(start)),
            from,
            (before, entries) =>
              Effect.gen(function* () {
                let state = before
                for (const entry of entries) {
                  if (isAboutClock(entry.event)) {
                    const date = dateOf(entry.at)
                    clock.set(date, applyToClock(clock.get(date) ?? noClockMeasurements, entry.event))
                  }
                  if (isAboutStatus(entry.event)) statuses = applyToStatuses(statuses, entry)
                  if (entry.event._tag === "ArchiveAbandoned") abandoned.add(entry.event.key)
                  state = applyToCoverage(state, restrict(entry, select))
                  if (++read % entriesBetween === 0) state = forgetOutside(state, around)
                }
                yield* archives.note(entries)
                return state
              })
          )
          const isWhole =
            Chunk.size(state.missing) === Chunk.size(from.missing) &&
            (Option.isNone(state.missingSince) || Option.isSome(from.missingSince))
          return { state, clock, statuses, isWhole: isWhole || unreadable.size > damagedBefore }
        })

      const start = yield* checkpoint
      const folded = yield* foldBehind(start)
      // Entries that do not follow the checkpoint may follow what is before it, for example if the clock was set back.
      const { clock, isWhole, state, statuses } =
        Option.isNone(start) || folded.isWhole ? folded : yield* foldBehind(Option.none())
      yield* archives.end(isWhole)
      clocks.set(server, clock)
      said.set(server, statuses)
      servers.set(server, endOfJournal(state, lastSeen, heard, { isAlone: !isLive && !isCompared }))
    }
    // What was meant for an object that was given up is in another one.
    const damaged = Array.from(unreadable.values()).filter(({ key }) => !abandoned.has(key))
    for (const { server } of damaged) servers.delete(server)
    const absent = isArchiveRead ? yield* objects.compare(abandoned) : nothingAbsent
    return {
      servers: Array.from(
        Array.from(servers).sort(([a], [b]) => Order.string(a, b)),
        ([server, { streams }]): ServerCoverage => ({
          server,
          names: names.get(server) ?? new Set([server]),
          clock: clocks.get(server) ?? new Map(),
          statuses: said.get(server) ?? noStatuses,
          streams: Array.from(HashMap.values(streams), (coverage) =>
            doubtful(coverage, absent.windows.get(server)?.get(streamKey(coverage.stream)) ?? [])
          ).sort((a, b) => Order.string(streamKey(a.stream), streamKey(b.stream)))
        })
      ),
      abandoned,
      damaged,
      incomplete: Array.from(servers).flatMap(([server, { missing }]) => {
        const windows = union(missing).filter((window) => intersection([window], [select.range]).length > 0)
        return windows.length === 0 ? [] : [new JournalIncomplete({ server, windows })]
      }),
      missing: absent.missing
    } satisfies ReadCoverage
  }).pipe(Effect.provide(reading.services))

const nothingAbsent: AbsentObjects = { windows: new Map(), missing: Option.none() }

/** The number of entries after which the state is compacted again. */
const entriesBetween = 50_000

/** Events to skip. Rows can leave the database for an object before all of them have, so purges are read, too. */
const toSkip = new Set(Array.from(withoutBearing).filter((tag) => tag !== "ArchiveRowsPurged"))

const withoutArchive = (error: ArchiveStoreError) =>
  Effect.as(
    Console.error(
      `the archive cannot be read, this is what the database alone says, and whether the archive has what left the database is not known: ${error.message}`
    ),
    []
  )

/** Marks the time of messages that the archive lacks as in doubt. */
const doubtful = (coverage: StreamCoverage, absent: ReadonlyArray<Window>): StreamCoverage => ({
  ...coverage,
  doubts: Chunk.appendAll(
    coverage.doubts,
    Chunk.unsafeFromArray(absent.map((window) => ({ ...window, reason: "archive" as const })))
  )
})

/** The state, restricted to selected streams. */
const selected = (state: Coverage, { takes }: Selection): Coverage => ({
  ...state,
  streams: HashMap.filter(state.streams, ({ stream }) => takes(stream))
})

/** The entry, restricted to selected streams; everything else only counts as present. */
const restrict = (entry: JournalEntry, { takes }: Selection): JournalEntry => {
  const { event } = entry
  if (event._tag === "RecordingStarted") {
    return { ...entry, event: { ...event, streams: event.streams.filter(takes) } }
  }
  if (event._tag === "SettingsReloaded") {
    const { ended, matched, named } = event
    return {
      ...entry,
      event: {
        ...event,
        named: named.filter(takes),
        matched: matched.filter(takes),
        ended: ended.filter(takes)
      }
    }
  }
  const stream =
    event._tag === "ArchivePlanned" ? event.plan.stream : "stream" in event ? event.stream : undefined
  return stream === undefined || takes(stream) ? entry : { ...entry, event: nothing }
}
