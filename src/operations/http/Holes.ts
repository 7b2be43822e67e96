import { FileSystem } from "@effect/platform"
import { Chunk, Clock, Context, Duration, Effect, HashMap, Layer, Option, Schedule, Stream } from "effect"
import {
  applyToCoverage,
  type Coverage,
  endOfJournal,
  noCoverage,
  type StreamCoverage
} from "../../domain/Coverage.ts"
import { openLiveJournal } from "../../storage/LiveJournal.ts"
import type { HttpSettings } from "./HttpSettings.ts"

/** What the journal says about the last days: read from the database beside storage, and folded as it grows. */
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

const make = ({ databasePath }: HttpSettings) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    let journal = ""
    let folded = { state: noCoverage, through: 0 }
    let shown = noCoverage

    /** Entries without an id are counts that change until the journal tells of them: they are shown, and not kept. */
    const refresh = Effect.gen(function* () {
      const live = yield* openLiveJournal(databasePath)
      if (Option.isNone(live)) return
      const { entriesAfter, id, lastSeen } = live.value
      if (id !== journal) folded = { state: noCoverage, through: 0 }
      journal = id
      let open = folded.state
      yield* Stream.runForEach(entriesAfter(folded.through), (entry) =>
        Effect.sync(() => {
          open = applyToCoverage(open, entry)
          if (entry.id > 0) folded = { state: open, through: entry.id }
        })
      )
      const oldest = (yield* Clock.currentTimeMillis) * 1000 - maxDays * microsPerDay
      folded = { ...folded, state: forgetBefore(folded.state, oldest) }
      shown = endOfJournal(open, lastSeen)
    }).pipe(
      Effect.scoped,
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.catchAllCause((cause) =>
        Effect.logDebug("the journal cannot be read for the status page", cause)
      )
    )

    const fresh = yield* Effect.cachedWithTTL(refresh, freshFor)
    // What leaves the journal later is remembered from now on.
    yield* Effect.forkScoped(Effect.repeat(fresh, Schedule.spaced("10 minutes")))
    return Holes.of({ coverage: Effect.map(fresh, () => shown) })
  })

const freshFor = Duration.seconds(5)
const microsPerHour = 3_600_000_000
const microsPerDay = 24 * microsPerHour

const forgetBefore = (state: Coverage, oldest: number): Coverage => ({
  ...state,
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
