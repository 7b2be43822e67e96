import { Options } from "@effect/cli"
import { Config, Effect, Layer, Logger, LogLevel } from "effect"

/** `--json`. */
export const jsonOption = Options.boolean("json").pipe(
  Options.withDescription("Print JSON instead of text for people.")
)

/** Whether what is printed goes to a terminal that shows colours. */
export const asColoured: Effect.Effect<boolean> = Effect.map(
  Effect.option(Config.string("NO_COLOR")),
  (noColor) => process.stdout.isTTY === true && (noColor._tag === "None" || noColor.value === "")
)

/** What a command prints is for its reader; what is logged meanwhile, warnings and errors, goes to stderr. */
export const logsToStderr = Layer.merge(
  Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger)),
  Logger.minimumLogLevel(LogLevel.Warning)
)
