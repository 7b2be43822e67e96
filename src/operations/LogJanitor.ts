import { join } from "node:path"
import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Clock, Context, Duration, Effect, Layer, Option } from "effect"
import { sweepingLogs } from "../cadences.ts"
import { fileSystemReason } from "./fileSystemReason.ts"
import { dateOfLogFile, dateOfMillis } from "./logFileName.ts"

/** Deletes log files that are older than the retention. */
export class LogJanitor extends Context.Tag("collector/LogJanitor")<
  LogJanitor,
  {
    /**
     * Goes through the directory once. Deletes regular files that are named like our log files and were modified longer ago
     * than the retention, except today's (UTC). Logs a warning for what cannot be read or deleted.
     */
    readonly sweep: Effect.Effect<void>
  }
>() {
  /**
   * Sweeps the directory when the layer is built and every 24 hours from then on. `retention` is the maximum age of a file, by
   * modification time.
   */
  static readonly layer = (options: {
    readonly directory: string
    readonly retention: Duration.Duration
  }): Layer.Layer<LogJanitor, never, FileSystem.FileSystem> =>
    Layer.scoped(
      this,
      Effect.gen(function* () {
        const sweep = makeSweep(yield* FileSystem.FileSystem, options)
        yield* Effect.forkScoped(Effect.interruptible(Effect.repeat(sweep, sweepingLogs)))
        return { sweep }
      })
    )
}

const makeSweep = (
  fs: FileSystem.FileSystem,
  options: { readonly directory: string; readonly retention: Duration.Duration }
): Effect.Effect<void> => {
  const { directory, retention } = options

  const warn = (message: string, fields: Record<string, string>) => (error: PlatformError) =>
    Effect.logWarning(message).pipe(Effect.annotateLogs({ ...fields, reason: fileSystemReason(error) }))

  /** How long ago a regular file was modified; none for anything else, including symbolic links. */
  const ageOf = (path: string, now: number) =>
    Effect.gen(function* () {
      if (yield* Effect.isSuccess(fs.readLink(path))) return Option.none()
      const { type, mtime } = yield* fs.stat(path)
      return type === "File" ? Option.map(mtime, (time) => now - time.getTime()) : Option.none()
    })

  const tidy = (name: string, now: number) =>
    Effect.gen(function* () {
      const path = join(directory, name)
      const age = yield* ageOf(path, now)
      if (Option.isNone(age) || age.value <= Duration.toMillis(retention)) return
      yield* fs.remove(path)
      yield* Effect.logInfo("deleted log file").pipe(
        Effect.annotateLogs({ file: name, age: Duration.format(wholeMinutes(age.value)) })
      )
    }).pipe(Effect.catchAll(warn("a log file cannot be deleted", { file: name })))

  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const today = dateOfMillis(now)
    const names = yield* fs.readDirectory(directory)
    const old = names.filter((name) => Option.exists(dateOfLogFile(name), (date) => date !== today))
    yield* Effect.forEach(old.sort(), (name) => tidy(name, now), { discard: true })
  }).pipe(
    Effect.catchAll(warn("the log directory cannot be read", { directory })),
    Effect.annotateLogs({ module: "operations" }),
    Effect.withSpan("logs.sweep", { root: true })
  )
}

const wholeMinutes = (millis: number) => Duration.minutes(Math.floor(millis / 60_000))
