import { stripVTControlCharacters } from "node:util"
import { Command, ValidationError } from "@effect/cli"
import { Runtime } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Cause, Console, Effect } from "effect"
import { loadSettings } from "./Config.ts"
import * as Collector from "./collector.ts"
import { archive } from "./commands/archive.ts"
import { coverage } from "./commands/coverage.ts"
import { merge } from "./commands/merge.ts"
import { verify } from "./commands/verify.ts"
import { demo } from "./demo.ts"
import { exchanges } from "./exchange/registry.ts"
import { simulate } from "./simulator/command.ts"
import { version } from "./version.ts"

const collect = Command.make("crypto-collector", {}, () =>
  Effect.flatMap(loadSettings(exchanges), Collector.run)
).pipe(
  Command.withDescription(
    "Records order books and trades of crypto exchanges. Without a subcommand it runs the collector; its settings are environment variables or a TOML file named by CONFIG_PATH."
  ),
  Command.withSubcommands([archive, coverage, verify, merge, simulate, demo])
)

const main = Command.run(collect, { name: "crypto-collector", version })

/** The help of commands is coloured for terminals: what is printed elsewhere, or with NO_COLOR set, is plain text. */
const printing = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Console.consoleWith((inner) =>
    Effect.withConsole(program, {
      ...inner,
      log: printer(inner.log, process.stdout),
      error: printer(inner.error, process.stderr)
    })
  )

const printer = (print: Console.Console["log"], { isTTY }: NodeJS.WriteStream): Console.Console["log"] =>
  isTTY && (process.env.NO_COLOR ?? "") === ""
    ? print
    : (...args) =>
        print(
          ...args.map((text: unknown) => (typeof text === "string" ? stripVTControlCharacters(text) : text))
        )

/** Ends the process once a pipe has taken all that was printed. */
const afterOutput: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => {
    process.stdout.write("", () => onExit(code))
  })

/** A failed start is one clear line for each mistake, and exit code 1. What is wrong with a command line is told by it. */
main(process.argv).pipe(
  Effect.tapErrorCause((cause) => {
    if (Cause.isInterruptedOnly(cause)) return Effect.void
    const error = Cause.squash(cause)
    return ValidationError.isValidationError(error)
      ? Effect.void
      : Console.error(error instanceof Error ? error.message : String(error))
  }),
  printing,
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true, teardown: afterOutput })
)
