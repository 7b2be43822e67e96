import { Command, ValidationError } from "@effect/cli"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Effect } from "effect"
import { archive } from "./commands/archive.ts"
import { CommandLineRefused } from "./commands/CommandLineRefused.ts"
import { coverage } from "./commands/coverage.ts"
import { demo } from "./commands/demo.ts"
import { merge } from "./commands/merge.ts"
import { replay } from "./commands/replay.ts"
import { simulate } from "./commands/simulate.ts"
import { verify } from "./commands/verify.ts"
import { version } from "./version.ts"

const collect = Command.make("crypto-collector", {}, () =>
  Effect.flatMap(
    Effect.promise(() => import("./collector.ts")),
    (collector) => collector.run({})
  )
).pipe(
  Command.withDescription(
    "Records order books and trades of crypto exchanges. Without a subcommand it runs the collector; its settings are environment variables or a TOML file named by CONFIG_PATH."
  ),
  Command.withSubcommands([archive, coverage, verify, merge, replay, simulate, demo])
)

const command = Command.run(collect, { name: "crypto-collector", version })

/** Runs what a command line requests. Its mistakes are reported on stderr. */
export const run = (argv: ReadonlyArray<string>) =>
  command(argv).pipe(
    Effect.catchIf(ValidationError.isValidationError, () => new CommandLineRefused()),
    Effect.provide(NodeContext.layer)
  )
