import type { FileSystem } from "@effect/platform"
import { Effect, HashMap, Layer, Logger, LogLevel, Option } from "effect"
import type { ResourceUnavailable } from "../domain/StartupError.ts"
import type { LogDirectives } from "../domain/StorageSettings.ts"
import { showsColours } from "../showsColours.ts"
import { type LogEntry, logEntry } from "./Logging/LogEntry.ts"
import { makeLogFile } from "./Logging/LogFile.ts"
import { followLevels } from "./Logging/levels.ts"
import { jsonLine, readableLine } from "./Logging/lines.ts"
import { nonBlockingStdout } from "./Logging/nonBlocking.ts"
import { makeStdout, type Output } from "./Logging/Stdout.ts"

/**
 * Replaces the default logger by two: readable lines on stdout, and JSON lines in the daily file `collector.log.YYYY-MM-DD`
 * (UTC) in `directory`. Annotations are fields; the annotation `module` selects the directive for an entry.
 *
 * The file is written at least every second, and when the layer is closed: provide it outermost, so that the last entries of
 * the other layers are in it. Once built it never fails, ends or blocks anything: what the file does not accept is kept for
 * later, within bounds, and a closed stdout is left alone.
 *
 * Fails if the directory cannot be created or written. `stdout` is for tests.
 */
export const layer = (options: {
  readonly directives: LogDirectives
  readonly directory: string
  readonly stdout?: Output
}): Layer.Layer<never, ResourceUnavailable, FileSystem.FileSystem> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const output = options.stdout ?? nonBlockingStdout()
      const colours = yield* showsColours(output)
      const write = yield* makeStdout(output)
      const print = (entry: LogEntry) => write(readableLine(entry, colours))
      const file = yield* makeLogFile({ directory: options.directory, print })
      let isWanted = filter(options.directives)
      const changed = yield* followLevels((directives) => {
        isWanted = filter(directives)
      })
      if (Option.isSome(changed)) isWanted = filter(changed.value)
      const logger = Logger.make<unknown, void>((log) => {
        if (!isWanted(log)) return
        const entry = logEntry(log)
        print(entry)
        file.append({ time: entry.time, line: jsonLine(entry) })
      })
      return Layer.merge(
        Logger.replace(Logger.defaultLogger, logger),
        // The level can be lowered later.
        Logger.minimumLogLevel(LogLevel.All)
      )
    })
  )

const filter =
  ({ level, modules }: LogDirectives) =>
  (log: Logger.Logger.Options<unknown>): boolean => {
    const module = HashMap.get(log.annotations, "module")
    const wanted = Option.isSome(module) ? modules.get(String(module.value)) : undefined
    return LogLevel.greaterThanEqual(log.logLevel, wanted ?? level)
  }
