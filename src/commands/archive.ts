import { Command } from "@effect/cli"
import { loaded } from "./loaded.ts"

/** `archive`: runs one archive cycle now. */
export const archive = Command.make(
  "archive",
  {},
  loaded(() => import("./archive/run.ts"))
).pipe(
  Command.withDescription(
    "Archives all that waits in the database now, and shows what was done. While the collector runs it is the collector that does it."
  )
)
