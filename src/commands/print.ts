import { Data, Effect } from "effect"

/** Whoever reads the output wants no more of it. */
export class ReaderGone extends Data.TaggedError("ReaderGone") {}

/** Completes once the text is accepted, so that what is printed need not fit into memory. */
export const print = (text: string): Effect.Effect<void, ReaderGone> =>
  Effect.async((resume) => {
    process.stdout.write(text, (error) => resume(error == null ? Effect.void : new ReaderGone()))
  })

/** Prints piece by piece, and ends quietly once the reader is gone. Returns whether all was printed. */
export const untilGone = <R>(
  printing: Effect.Effect<void, ReaderGone, R>
): Effect.Effect<boolean, never, R> =>
  Effect.sync(() => process.stdout.on("error", () => {})).pipe(
    Effect.zipRight(printing),
    Effect.as(true),
    Effect.catchTag("ReaderGone", () => Effect.succeed(false))
  )
