import { Data, Effect, Exit, Mailbox, Stream } from "effect"
import type { Snapshot } from "../domain/Snapshot.ts"

/** Who reads Snapshots from a Stream is slower than they come: so many wait, and the next one would be lost. */
export class ReaderTooSlow extends Data.TaggedError("ReaderTooSlow")<{ readonly waiting: number }> {
  override get message() {
    return `${this.waiting} messages wait for their reader, which is too slow`
  }
}

/** What is handed over by callback, as a Stream: its payloads are copied, since they are views of what is soon used again. */
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
