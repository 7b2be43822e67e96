import { Effect } from "effect"

/**
 * Wraps the handler of a command in a module of its own, which is loaded when the command runs: neither the other commands nor
 * `--help` wait for it.
 */
export const loaded =
  <Options, A, E, R>(
    load: () => Promise<{ readonly run: (options: Options) => Effect.Effect<A, E, R> }>
  ): ((options: Options) => Effect.Effect<A, E, R>) =>
  (options) =>
    Effect.flatMap(Effect.promise(load), ({ run }) => run(options))
