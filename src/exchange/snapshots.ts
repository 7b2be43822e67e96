import { Data, Effect, Exit, Mailbox, Stream } from "effect"
import type { Snapshot } from "../domain/Snapshot.ts"

/** The reader of a Stream of Snapshots is slower than they arrive: `waiting` of them wait, and the next one would be lost. */
export class ReaderTooSlow extends Data.TaggedError("ReaderTooSlow")<{ readonly waiting: number }> {
  override get message() {
    return `${this.waiting} messages wait for their reader, which is too slow`
  }
}

/** Turns a callback interface into a Stream. Payloads are copied, because they are views of buffers that are soon reused. */
export const streamOf = (
  runForEach: (offer: (snapshot: Snapshot) => void) => Effect.Effect<never>,
  capacity: number
): Stream.Stream<Snapshot, ReaderTooSlow> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const mailbox = yield* Mailbox.make<Snapshot, ReaderTooSlow>({ capacity, strategy: "dropping" })
      yield* Effect.forkScoped(
        runForEach((snapshot) => {
          if (mailbox.unsafeOffer({ ...snapshot, data: Uint8Array.from(snapshot.data) })) return
          mailbox.unsafeDone(Exit.fail(new ReaderTooSlow({ waiting: capacity })))
        })
      )
      return Mailbox.toStream(mailbox)
    })
  )
