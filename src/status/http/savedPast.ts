import { deserialize, serialize } from "node:v8"
import { FileSystem } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import { doubtReasons } from "../../domain/Coverage/state.ts"
import { CheckpointText, emptyCheckpoint, entryText } from "../../domain/CoverageCheckpoint.ts"
import type { JournalPages } from "../../storage/JournalPages.ts"
import type { Fold } from "./archivedPast.ts"
import { makePast } from "./Past.ts"
import { pastFile, unfinishedPastFile } from "./pastFile.ts"

/** The number is raised when the format of the file changes; the fold's own version is in its checkpoint. */
const version = ["1", ...doubtReasons].join()

/** Saves the fold. If that fails, the journal is read again at the next start. */
export const savePast = (databasePath: string, fold: Fold) =>
  Effect.gen(function* () {
    if (fold.lastText === "" || fold.through === 0) return
    const fs = yield* FileSystem.FileSystem
    const { state, ...memory } = fold.past.memory()
    const text = yield* encodeState({
      ...emptyCheckpoint(fold.journal),
      lastText: fold.lastText,
      coverage: { ...state, lastId: fold.through }
    })
    const bytes = serialize({ version, text, archived: fold.archived, ...memory })
    yield* fs.writeFile(unfinishedPastFile(databasePath), bytes)
    yield* fs.rename(unfinishedPastFile(databasePath), pastFile(databasePath))
  }).pipe(Effect.catchAllCause((cause) => Effect.logDebug("could not save the status page's history", cause)))

/** Loads what was saved of this journal, if it exists and the database is still the one it was read from. */
export const loadPast = (databasePath: string, journal: JournalPages) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const bytes = yield* fs.readFile(pastFile(databasePath))
    const saved = yield* decodeSaved(yield* Effect.try(() => deserialize(bytes)))
    const { coverage: state, journal: name, lastText } = yield* decodeState(saved.text)
    const entry = yield* journal.entry(state.lastId)
    // What has left the database is in the archive, which has only the journal of this name.
    const isSame = Option.match(entry, {
      onNone: () => state.lastId < journal.lastId,
      onSome: (entry) => entryText(entry) === lastText
    })
    if (name !== journal.id || !isSame) return Option.none()
    const { archived, days, knownFrom, places, rows, sure } = saved
    return Option.some<Fold>({
      journal: name,
      past: makePast({ knownFrom, sure, state, rows, places, days }),
      through: state.lastId,
      lastText,
      archived
    })
  }).pipe(Effect.catchAllCause(() => Effect.succeedNone))

const Floats = Schema.instanceOf(Float64Array<ArrayBufferLike>)
const Counts = Schema.instanceOf(Uint32Array<ArrayBufferLike>)

const Saved = Schema.Struct({
  version: Schema.Literal(version),
  /** A `CheckpointText`. */
  text: Schema.String,
  archived: Schema.NullOr(Schema.Struct({ archiveId: Schema.String, id: Schema.Number })),
  knownFrom: Schema.Number,
  sure: Schema.Number,
  rows: Schema.ReadonlyMapFromSelf({ key: Schema.String, value: Floats }),
  places: Schema.ReadonlyMapFromSelf({ key: Schema.String, value: Schema.Number }),
  days: Schema.ReadonlyMapFromSelf({ key: Schema.Number, value: Counts })
})

const decodeSaved = Schema.decodeUnknown(Saved)
const encodeState = Schema.encode(CheckpointText)
const decodeState = Schema.decode(CheckpointText)
