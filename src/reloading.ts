import type { FileSystem } from "@effect/platform"
import { Clock, Effect, type Option } from "effect"
import { compareGiven } from "./Config/reloadable.ts"
import { awaitOtherText, readText } from "./Config/settingsFile.ts"
import { type GivenSettings, loadGiven } from "./Config.ts"
import { SettingsReloaded } from "./domain/JournalEvent.ts"
import { streamKey } from "./domain/StreamId.ts"
import { ExchangeStream } from "./exchange/ExchangeStream.ts"
import { areSamePatterns, textsOf } from "./exchange/instruments.ts"
import { ReceiveClock } from "./exchange/ReceiveClock.ts"
import { exchanges } from "./exchange/registry.ts"
import { type Hangup, makeHangups } from "./hangup.ts"
import { EventRecorder } from "./ingest/EventRecorder.ts"
import { SnapshotQueue } from "./ingest/SnapshotQueue.ts"
import { changeLevels, levelsText } from "./operations/Logging/levels.ts"
import { Reporter } from "./status/Reporter.ts"

/** What follows the settings file while the collector runs. */
export type Reloading = Effect.Effect<
  never,
  never,
  EventRecorder | ExchangeStream | FileSystem.FileSystem | ReceiveClock | Reporter | SnapshotQueue
>

/** There is no settings file. */
export const noReloading: Reloading = Effect.never

/**
 * Loads the settings again whenever the file has another text, and at SIGHUP, and applies MARKETS and LOG_LEVEL. A file with a
 * mistake changes nothing. `text` is what the file had at the start, `given` what was loaded from it.
 */
export const reloadForever = ({
  given: atStart,
  hangup,
  path,
  text
}: {
  readonly path: string
  readonly text: Option.Option<string>
  readonly given: GivenSettings
  readonly hangup: Hangup
}): Reloading =>
  Effect.gen(function* () {
    const stream = yield* ExchangeStream
    const queue = yield* SnapshotQueue
    const recorder = yield* EventRecorder
    const reporter = yield* Reporter
    const clock = yield* ReceiveClock
    const hungUp = hangup === "reloads" ? yield* makeHangups : Effect.never
    let known = text
    let directives = levelsText(atStart.settings.logDirectives)
    let failing: { readonly since: number; readonly reason: string } | null = null
    let changedAt: number | null = null

    const load = loadGiven(exchanges).pipe(
      Effect.mapError(({ problems }) => problems.join("; ")),
      Effect.flatMap((loaded) =>
        Effect.map(compareGiven(atStart.given, loaded.given), (notTaken) => ({ ...loaded, ...notTaken }))
      )
    )

    const refuse = (reason: string) =>
      Effect.gen(function* () {
        failing = { since: failing?.since ?? (yield* Clock.currentTimeMillis) * 1000, reason }
        yield* Effect.logError("could not reload settings, keeping those in use").pipe(
          Effect.annotateLogs({ reason })
        )
      })

    const apply = ({ fixed, pending, settings }: Effect.Effect.Success<typeof load>) =>
      Effect.gen(function* () {
        failing = null
        const before = yield* stream.markets
        const levels = levelsText(settings.logDirectives)
        if (levels !== directives) yield* changeLevels(settings.logDirectives)
        const { added, ended, matched, named } = yield* stream.change(settings)
        const event = SettingsReloaded.make({
          at: clock.unsafeNow(),
          named,
          matched,
          ended,
          ...(areSamePatterns(before.patterns, settings.patterns)
            ? {}
            : { patterns: textsOf(settings.patterns) }),
          ...(levels === directives ? {} : { logLevel: levels })
        })
        directives = levels
        const hasMarkets = named.length + matched.length + ended.length > 0 || event.patterns !== undefined
        if (hasMarkets) changedAt = event.at
        if (hasMarkets || event.logLevel !== undefined) recorder.unsafeRecord(event)
        if (!atStart.given.has("QUEUE_CAPACITY")) yield* queue.setCapacity(settings.queueCapacity)
        if (fixed.length > 0) {
          yield* Effect.logWarning("settings in the environment take precedence over the reloaded file").pipe(
            Effect.annotateLogs({ settings: fixed.join() })
          )
        }
        if (pending.length > 0) {
          yield* Effect.logWarning("changed settings take effect with the next start").pipe(
            Effect.annotateLogs({ settings: pending.join() })
          )
        }
        yield* Effect.logInfo("settings reloaded").pipe(
          Effect.annotateLogs({
            added: few(added.map(streamKey)),
            ended: few(ended.map(streamKey)),
            ...(event.patterns === undefined ? {} : { patterns: few(event.patterns) }),
            ...(event.logLevel === undefined ? {} : { logLevel: event.logLevel })
          })
        )
      })

    while (true) {
      yield* Effect.raceFirst(awaitOtherText(path, known), hungUp)
      known = yield* readText(path)
      yield* Effect.matchEffect(load, { onFailure: refuse, onSuccess: apply })
      yield* reporter.setReload({ failing, changedAt })
    }
  }).pipe(Effect.scoped, Effect.annotateLogs({ module: "main" }))

/** A list in a log line. */
const few = (names: ReadonlyArray<string>): string =>
  names.length === 0
    ? "none"
    : [
        ...names.slice(0, maxNames),
        ...(names.length > maxNames ? [`and ${names.length - maxNames} more`] : [])
      ].join(", ")

const maxNames = 20
