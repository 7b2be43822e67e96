import { Options } from "@effect/cli"
import { Layer, Logger, LogLevel } from "effect"

export const jsonOption = Options.boolean("json").pipe(
  Options.withDescription("Print JSON instead of text for people.")
)

/** Keeps stdout for a command's output; what is logged meanwhile, warnings and errors, goes to stderr. */
export const logsToStderr = Layer.merge(
  Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger)),
  Logger.minimumLogLevel(LogLevel.Warning)
)
