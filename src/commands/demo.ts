import { Command } from "@effect/cli"
import { demoSeconds } from "./demo/seconds.ts"
import { loaded } from "./loaded.ts"

/** `demo`: runs the whole pipeline on a simulated exchange, in a temporary folder. */
export const demo = Command.make(
  "demo",
  {},
  loaded(() => import("./demo/run.ts"))
).pipe(
  Command.withDescription(
    `Records a simulated exchange for ${demoSeconds} seconds into a temporary folder, with no network and no account, and shows what the archive then holds.`
  )
)
