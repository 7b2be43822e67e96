import { Command, Options } from "@effect/cli"
import { loaded } from "./loaded.ts"
import { jsonOption } from "./options.ts"

/** `verify`: checks whether the archive holds what the journal says it holds. */
export const verify = Command.make(
  "verify",
  {
    deep: Options.boolean("deep").pipe(
      Options.withDescription(
        "Download every object, recompute its SHA-256, count its rows, and check their ids and order."
      )
    ),
    json: jsonOption
  },
  loaded(() => import("./verify/run.ts"))
).pipe(
  Command.withDescription(
    "Compares the journal with the archive: every verified object is there, with its length and SHA-256, and nothing else is. Ends with exit code 1 if anything is off."
  )
)
