import { Command } from "@effect/cli"
import { loaded } from "./loaded.ts"
import { jsonOption } from "./options.ts"
import { selectionOptions } from "./selection.ts"

/** `coverage`: what was recorded, and where the holes are. */
export const coverage = Command.make(
  "coverage",
  { ...selectionOptions, json: jsonOption },
  loaded(() => import("./coverage/run.ts"))
).pipe(
  Command.withDescription(
    "Shows for each stream and day what was recorded: messages, time connected, gaps, drops, what is verified, and which times to leave out of a study. Reads the database, also while the collector runs, and the journal in the archive: either is enough."
  )
)
