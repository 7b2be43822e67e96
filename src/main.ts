import { stripVTControlCharacters } from "node:util"
import { type FileSystem, type Path, Runtime } from "@effect/platform"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Predicate } from "effect"
import { loaded } from "./commands/loaded.ts"
import { handleHangup } from "./hangup.ts"
import { showsColours } from "./showsColours.ts"
import type { EarlyThread } from "./thread/startThread.ts"

/**
 * Runs what the command line requests, and ends the process. Without arguments that is the collector, which does not wait for the
 * code that reads command lines; `storageThread` is the thread that is already starting beside this one.
 */
export const main = (argv: ReadonlyArray<string>, storageThread: EarlyThread | undefined): void => {
  const hangup = handleHangup(storageThread !== undefined)
  end(
    storageThread === undefined
      ? loaded(() => import("./commandLine.ts"))(argv)
      : loaded(() => import("./collector.ts"))({ storageThread, hangup })
  )
}

/** The help of commands is coloured on terminals; elsewhere, or with NO_COLOR set, it is plain text. */
const printing = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const inner = yield* Console.consoleWith(Effect.succeed)
    const log = (yield* showsColours(process.stdout)) ? inner.log : plain(inner.log)
    const error = (yield* showsColours(process.stderr)) ? inner.error : plain(inner.error)
    return yield* Effect.withConsole(program, { ...inner, log, error })
  })

const plain =
  (print: Console.Console["log"]): Console.Console["log"] =>
  (...args) =>
    print(...args.map((text: unknown) => (typeof text === "string" ? stripVTControlCharacters(text) : text)))

/** Ends the process once a pipe has taken everything that was printed. */
const afterOutput: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => {
    process.stdout.write("", () => onExit(code))
  })

/**
 * A failed start (`StartupError`) prints one clear line for each mistake, and so do a failed command and storage that gave up
 * (`StorageGaveUp`); all end with exit code 1. Mistakes in a command line have already been reported. Anything else is a defect,
 * and a line as well.
 */
const end = <E extends { readonly _tag: string; readonly message: string }>(
  program: Effect.Effect<unknown, E, FileSystem.FileSystem | Path.Path>
): void =>
  program.pipe(
    Effect.tapError(({ _tag, message }) =>
      _tag === "CommandLineRefused" ? Effect.void : Console.error(message)
    ),
    Effect.tapDefect((cause) =>
      Effect.forEach(Cause.defects(cause), (defect) =>
        Console.error(Predicate.isError(defect) ? defect.message : String(defect))
      )
    ),
    printing,
    Effect.provide([NodeFileSystem.layer, NodePath.layer]),
    NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true, teardown: afterOutput })
  )
