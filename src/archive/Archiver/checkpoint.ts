import { gzip } from "node:zlib"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Effect } from "effect"
import { checkpointKey, checkpointSuffix, dateOf } from "../../domain/Archive.ts"
import { archivedCheckpoint, type KeptCheckpoint, noteArchived } from "../../storage/Checkpoint.ts"
import { ArchiveStore } from "../ArchiveStore.ts"
import { sha256Hex } from "../digest.ts"

/** How many entries can follow the archive's checkpoint before it gets another one. */
export const entriesBetween = 50_000

/** Whether the archive is due for a newer checkpoint: after `entriesBetween` entries, and once a day. */
export const isCheckpointDue = (through: number) =>
  Effect.gen(function* () {
    const { at, lastId } = yield* archivedCheckpoint
    const today = dateOf((yield* Clock.currentTimeMillis) * 1000)
    return through > lastId && (through - lastId >= entriesBetween || dateOf(at) < today)
  })

/**
 * Puts the checkpoint into the archive, beside the parts of the journal. If the store does not accept it, reading takes longer,
 * and the next cycle tries again.
 */
export const archiveCheckpoint = Effect.fn("archive.checkpoint")(
  function* (
    { checkpoint, text }: KeptCheckpoint,
    options: { readonly serverName: string; readonly outboxDirectory: string; readonly archiveId: string }
  ) {
    const fs = yield* FileSystem.FileSystem
    const store = yield* ArchiveStore
    const path = (yield* Path.Path).join(options.outboxDirectory, `${options.archiveId}${checkpointSuffix}`)
    const key = checkpointKey({ ...options, journal: checkpoint.journal, until: checkpoint.until })
    const bytes = yield* compress(text)
    const sha256 = sha256Hex(bytes)
    yield* fs.makeDirectory(options.outboxDirectory, { recursive: true })
    yield* fs
      .writeFile(path, bytes)
      .pipe(
        Effect.zipRight(store.put({ key, path, size: bytes.length, sha256 })),
        Effect.ensuring(Effect.ignore(fs.remove(path, { force: true })))
      )
    yield* noteArchived(checkpoint)
  },
  Effect.catchAll((error) =>
    Effect.logWarning("could not archive a checkpoint of the journal").pipe(
      Effect.annotateLogs({ reason: error.message })
    )
  )
)

const compress = (text: string) =>
  Effect.async<Buffer>((resume) =>
    gzip(text, (error, bytes) => resume(error === null ? Effect.succeed(bytes) : Effect.die(error)))
  )
