import { FileSystem } from "@effect/platform"
import { Config, Effect, Option } from "effect"

/** The path in CONFIG_PATH, if there is one. */
export const settingsPath: Effect.Effect<Option.Option<string>> = Config.string("CONFIG_PATH").pipe(
  Effect.map((path) => path.trim()),
  Effect.option,
  Effect.map(Option.filter((path) => path !== ""))
)

/** The text of the file; none if it cannot be read. */
export const readText = (path: string): Effect.Effect<Option.Option<string>, never, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.option(fs.readFileString(path)))

/**
 * Returns once the file has another text than `known`, and the same one for a second: an editor may be writing it. It is read
 * every second, by its path, and not by a notice of the system: that also sees a file that was replaced by another one, a symbolic
 * link anywhere in the path that was switched, and network file systems. None stands for a file that cannot be read.
 */
export const awaitOtherText = (
  path: string,
  known: Option.Option<string>
): Effect.Effect<void, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    let last = known
    while (true) {
      yield* Effect.sleep("1 second")
      const text = yield* readText(path)
      if (!isSame(text, known) && isSame(text, last)) return
      last = text
    }
  })

const isSame = Option.getEquivalence<string>((a, b) => a === b)
