import { gunzip } from "node:zlib"
import { Chunk, Effect, Option, Schema, Stream } from "effect"
import { CheckpointText, type CoverageCheckpoint } from "../domain/CoverageCheckpoint.ts"
import type { ArchivedJournal } from "./ArchivedJournal.ts"
import { ArchiveStore } from "./ArchiveStore.ts"

/**
 * Finds the newest checkpoint of an archived journal that is complete from a given time on (microseconds), with its archive id.
 * Checkpoints that are missing, damaged, or written by another version of the collector are skipped: without one, the whole
 * journal is read.
 */
export const findCheckpoint = (
  { checkpoints, journal }: ArchivedJournal,
  from: number
): Effect.Effect<Option.Option<FoundCheckpoint>, never, ArchiveStore> =>
  Effect.gen(function* () {
    const usable = checkpoints.filter(({ until }) => until <= from).slice(-maxAttempts)
    for (const { archiveId, key, until } of usable.toReversed()) {
      const checkpoint = yield* readCheckpoint(key, { journal, until })
      if (Option.isSome(checkpoint)) return Option.some({ checkpoint: checkpoint.value, archiveId })
    }
    return Option.none()
  })

/**
 * Reads the checkpoint under a key, which names its journal and the time from which it is complete; none if it is not valid.
 */
export const readCheckpoint = (
  key: string,
  { journal, until }: { readonly journal: string; readonly until: number }
): Effect.Effect<Option.Option<CoverageCheckpoint>, never, ArchiveStore> =>
  Effect.flatMap(ArchiveStore, (store) => Stream.runCollect(store.get(key))).pipe(
    Effect.flatMap((bytes) => decompress(Buffer.concat(Chunk.toReadonlyArray(bytes)))),
    Effect.flatMap(decode),
    Effect.filterOrFail((checkpoint) => checkpoint.journal === journal && checkpoint.until === until),
    Effect.option
  )

/** A checkpoint with its archive id: parts of the journal with greater ids cover what came after it. */
export interface FoundCheckpoint {
  readonly checkpoint: CoverageCheckpoint
  readonly archiveId: string
}

const maxAttempts = 5

/** Maximum length of a checkpoint's text, bytes. */
const maxOutputLength = 268_435_456

const decompress = (bytes: Buffer) =>
  Effect.async<string, Error>((resume) =>
    gunzip(bytes, { maxOutputLength }, (error, text) =>
      resume(error === null ? Effect.succeed(text.toString()) : Effect.fail(error))
    )
  )

const decode = Schema.decode(CheckpointText)
