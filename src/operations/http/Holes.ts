import { FileSystem } from "@effect/platform"
import {
  Chunk,
  Clock,
  Context,
  Duration,
  Effect,
  HashMap,
  Layer,
  Option,
  Queue,
  Schedule,
  Stream
} from "effect"
import { decodeText } from "../../archive/ArchivedJournal.ts"
import {
  applyToCoverage,
  type Coverage,
  endOfJournal,
  noCoverage,
  type StreamCoverage
} from "../../domain/Coverage.ts"
import { microsPerDay, microsPerHour } from "../../domain/micros.ts"
import { openLiveJournal } from "../../storage/LiveJournal.ts"
import { archivedCoverage, type Folded } from "./archivedCoverage.ts"
import type { HttpSettings } from "./HttpSettings.ts"

/**
 * What the journal says about the last days: read from the archive once, and from the database beside
 * storage as it grows. Until the archive is read it goes back as far as the database.
 */
export class Holes extends Context.Tag("collector/Holes")<
  Holes,
  {
    /** Every stream, as of the last seconds. What cannot be read is as it was before. */
    readonly coverage: Effect.Effect<Coverage>
  }
>() {
  static readonly layer = (settings: HttpSettings) => Layer.scoped(this, make(settings))
}

/** Days that are remembered. */
export const maxDays = 31

const make = (settings: HttpSettings) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    let journal = ""
    let folded: Folded = { state: noCoverage, through: 0 }
    /** When the database has another journal than before. */
    const changed = yield* Queue.sliding<void>(1)
    const oneByOne = Effect.unsafeMakeSemaphore(1)
    let shown = noCoverage

    /** Entries without an id are counts that change until the journal tells of them: they are shown, and not kept. */
    const refresh = Effect.gen(function* () {
      const live = yield* openLiveJournal(settings.databasePath, folded.through)
      if (Option.isNone(live)) return
      const { heard, id, lastSeen, rowsAfter } = live.value
      if (id !== journal && journal !== "") {
        // Its entries from the beginning on come at the next refresh.
        journal = id
        folded = { state: noCoverage, through: 0 }
        yield* Queue.offer(changed, undefined)
        return
      }
      journal = id
      let open = folded.state
      yield* Stream.runForEach(Stream.mapEffect(rowsAfter(folded.through), decodeText), (entry) =>
        Effect.sync(() => {
          open = applyToCoverage(open, entry)
          if (entry.id > 0) folded = { state: open, through: entry.id }
        })
      )
      const now = (yield* Clock.currentTimeMillis) * 1000
      folded = { ...folded, state: shorten(folded.state, now) }
      shown = endOfJournal(open, lastSeen, heard)
    }).pipe(
      Effect.scoped,
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.catchAllCause((cause) =>
        Effect.logDebug("the journal cannot be read for the status page", cause)
      )
    )

    const readArchive = Effect.gen(function* () {
      const now = (yield* Clock.currentTimeMillis) * 1000
      const archived = yield* archivedCoverage(settings, {
        days: maxDays,
        shorten: (state) => shorten(state, now)
      })
      yield* oneByOne.withPermits(1)(
        Effect.sync(() => {
          if (archived.through === 0 && HashMap.isEmpty(archived.state.streams)) return
          folded = archived
          journal = archived.journal
        })
      )
    }).pipe(
      Effect.scoped,
      Effect.provideService(FileSystem.FileSystem, fs),
      // There is no database yet.
      Effect.retry({
        while: (error) => error._tag === "NoSuchElementException",
        schedule: Schedule.spaced("1 second")
      }),
      Effect.tapErrorCause((cause) =>
        Effect.logWarning("the archived journal cannot be read, the heat map begins with the database", cause)
      ),
      Effect.sandbox,
      Effect.retry(Schedule.spaced("10 minutes")),
      Effect.ignore
    )
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(readArchive, Queue.take(changed))))

    const fresh = yield* Effect.cachedWithTTL(oneByOne.withPermits(1)(refresh), freshFor)
    // What leaves the journal later is remembered from now on.
    yield* Effect.forkScoped(Effect.repeat(fresh, Schedule.spaced("10 minutes")))
    return Holes.of({ coverage: Effect.map(fresh, () => shown) })
  })

const freshFor = Duration.seconds(5)

/** Windows of all streams together that are kept, so that the thread's heap can hold them. */
const maxWindows = 300_000

/** Without what is older than `maxDays`, and without further days as long as there is too much. */
const shorten = (state: Coverage, now: number): Coverage => {
  let days = maxDays
  let shorter = forgetBefore(state, now - days * microsPerDay)
  while (days > 1 && windowsIn(shorter) > maxWindows) {
    days--
    shorter = forgetBefore(shorter, now - days * microsPerDay)
  }
  return shorter
}

const windowsIn = ({ streams }: Coverage): number =>
  HashMap.reduce(
    streams,
    0,
    (sum, { connected, doubts, drops, gaps }) =>
      sum + Chunk.size(connected) + Chunk.size(doubts) + Chunk.size(drops) + Chunk.size(gaps)
  )

const forgetBefore = (state: Coverage, oldest: number): Coverage => ({
  ...state,
  missing: Chunk.filter(state.missing, ({ to }) => to >= oldest),
  streams: HashMap.map(state.streams, (of) => (isOlder(of, oldest) ? withoutOld(of, oldest) : of))
})

const isOlder = (of: StreamCoverage, oldest: number): boolean =>
  HashMap.some(of.messages, (_, hour) => hour * microsPerHour < oldest) || of.wanted.from < oldest

const withoutOld = (of: StreamCoverage, oldest: number): StreamCoverage => {
  const isNew = ({ to }: { readonly to: number }) => to >= oldest
  return {
    ...of,
    wanted: { from: Math.max(of.wanted.from, oldest), to: Math.max(of.wanted.to, oldest) },
    connected: Chunk.filter(of.connected, isNew),
    messages: HashMap.filter(of.messages, (_, hour) => hour * microsPerHour >= oldest),
    gaps: Chunk.filter(of.gaps, isNew),
    drops: Chunk.filter(of.drops, isNew),
    doubts: Chunk.filter(of.doubts, isNew)
  }
}
