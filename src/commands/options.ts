import { Options } from "@effect/cli"
import { Config, Effect } from "effect"

/** `--json`. */
export const jsonOption = Options.boolean("json").pipe(
  Options.withDescription("Print JSON instead of text for people.")
)

/** Whether what is printed goes to a terminal that shows colours. */
export const asColoured: Effect.Effect<boolean> = Effect.map(
  Effect.option(Config.string("NO_COLOR")),
  (noColor) => process.stdout.isTTY === true && (noColor._tag === "None" || noColor.value === "")
)
