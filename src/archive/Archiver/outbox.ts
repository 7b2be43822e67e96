import { FileSystem, Path } from "@effect/platform"
import { Effect } from "effect"
import { checkpointSuffix } from "../../domain/Archive.ts"

/**
 * Tidies the outbox while nothing is written into it. Files of pending archives stay, files of completed archives are removed,
 * and files unknown to any event are moved to its folder `quarantine` and reported, as are unfinished files. Never fails: a
 * file that cannot be moved is logged as a warning.
 */
export const tidyOutbox = (options: {
  readonly directory: string
  readonly isPending: (archiveId: string) => boolean
  /** Whether an archive with this id was planned and is done. */
  readonly isDone: (archiveId: string) => Effect.Effect<boolean>
}): Effect.Effect<void, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (!(yield* fs.exists(options.directory))) return
    const quarantine = path.join(options.directory, quarantineName)
    for (const name of yield* fs.readDirectory(options.directory)) {
      if (name === quarantineName) continue
      const file = path.join(options.directory, name)
      const [, archiveId = "", part] = /^([0-9a-f]{24})\.parquet(\.part)?$/.exec(name) ?? []
      if (name.endsWith(checkpointSuffix)) {
        // It can be recreated.
        yield* fs.remove(file)
      } else if (options.isPending(archiveId)) {
        if (part !== undefined) yield* fs.remove(file)
      } else if (archiveId !== "" && (yield* options.isDone(archiveId))) {
        yield* fs.remove(file)
      } else {
        yield* fs.makeDirectory(quarantine, { recursive: true })
        yield* fs.rename(file, yield* freeName(path.join(quarantine, name)))
        yield* Effect.logWarning("unknown file in the outbox, moved to quarantine").pipe(
          Effect.annotateLogs({ file, quarantine })
        )
      }
    }
  }).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("could not clean up the outbox").pipe(Effect.annotateLogs({ reason: error.message }))
    ),
    Effect.withSpan("archive.tidyOutbox")
  )

const quarantineName = "quarantine"

const freeName = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    for (let n = 1; ; n++) {
      const name = n === 1 ? file : `${file}.${n}`
      if (!(yield* fs.exists(name))) return name
    }
  })
