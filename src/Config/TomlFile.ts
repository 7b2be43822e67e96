import { basename } from "node:path"
import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Either } from "effect"
import type { TomlError } from "smol-toml"
import { quote } from "../domain/quote.ts"

/** A settings file: its top-level keys and values, not yet checked. */
export interface TomlFile {
  /** The file's name without the folder, as used in problems. */
  readonly name: string
  readonly values: ReadonlyMap<string, unknown>
}

/** Reads the file named by CONFIG_PATH. Fails with one line. */
export const readTomlFile = (path: string): Effect.Effect<TomlFile, string, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.readFileString(path)),
    Effect.mapError((error) => `CONFIG_PATH=${quote(path)}: ${fileReason(error)}`),
    Effect.flatMap((text) => parseToml(path, text))
  )

const parseToml = (path: string, text: string): Effect.Effect<TomlFile, string> =>
  Effect.gen(function* () {
    const { parse, TomlError } = yield* Effect.promise(() => import("smol-toml"))
    return yield* Either.try(() => parse(text)).pipe(
      Either.mapBoth({
        onLeft: (error) =>
          `CONFIG_PATH=${quote(path)}: is not valid TOML: ${error instanceof TomlError ? syntaxErrorOf(error) : "it cannot be parsed"}`,
        onRight: (table) => ({ name: basename(path), values: new Map(Object.entries(table)) })
      })
    )
  })

/** Position and message, without the source text: a line of the file may hold a secret. */
const syntaxErrorOf = ({ column, line, message }: TomlError): string => {
  const [what = ""] = message.replace(/^Invalid TOML document: /, "").split("\n")
  return `line ${line}, column ${column}: ${what}`
}

const fileReason = (error: PlatformError): string => {
  if (error._tag === "BadArgument") return "must be the path of a TOML file"
  switch (error.reason) {
    case "NotFound":
      return "there is no such file"
    case "PermissionDenied":
      return "the file may not be read (permission denied)"
    case "BadResource":
      return "must be the path of a TOML file"
    default:
      return `the file cannot be read${error.description === undefined ? "" : ` (${quote(error.description)})`}`
  }
}
