import { Command, Options } from "@effect/cli"
import { loaded } from "./loaded.ts"
import { selectionOptions } from "./selection.ts"

/** `merge`: combines what several servers archived of the same streams. */
export const merge = Command.make(
  "merge",
  {
    into: Options.directory("into", { exists: "either" }).pipe(
      Options.withDescription(
        "The folder for the merged files. Files of an earlier merge there are replaced."
      )
    ),
    ...selectionOptions
  },
  loaded(() => import("./merge/run.ts"))
).pipe(
  Command.withDescription(
    "Makes one Parquet file of each stream and day out of what several servers have archived: every message once, in the order of the exchange; and shows which holes remain."
  )
)
