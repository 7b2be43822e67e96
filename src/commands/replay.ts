import { Command } from "@effect/cli"
import { loaded } from "./loaded.ts"
import { selectionOptions } from "./selection.ts"

/** `replay`: prints what was recorded. */
export const replay = Command.make(
  "replay",
  selectionOptions,
  loaded(() => import("./replay/run.ts"))
).pipe(
  Command.withDescription(
    "Prints what was recorded as JSON lines: the messages of all servers and of the live database in one order of receive time, each once, and where holes begin and end. Ends with 1 if something that was recorded could not be read."
  )
)
