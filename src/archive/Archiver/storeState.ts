import { Effect, Ref } from "effect"
import { probeKey } from "../../domain/Archive.ts"
import { ArchiveStore } from "../ArchiveStore.ts"

/** Tracks whether the store is known to be down: one that rejects an object can still be healthy. */
export const makeStoreState = Effect.gen(function* () {
  const store = yield* ArchiveStore
  /** Why the store is down. */
  const failure = yield* Ref.make<string | null>(null)
  /** One request at a time: of two answers the later one must not be to the earlier question. */
  const inOrder = (yield* Effect.makeSemaphore(1)).withPermits(1)

  const sayThatItIsDown = (reason: string) =>
    Effect.logError("archive store is down, keeping rows and files until it is back").pipe(
      Effect.annotateLogs({ reason })
    )

  const note = (reason: string | null) =>
    Effect.flatMap(Ref.getAndSet(failure, reason), (before) => {
      if (reason !== null && before === null) return sayThatItIsDown(reason)
      return reason === null && before !== null ? Effect.logInfo("archive store is back") : Effect.void
    })

  const isDown = Effect.map(Ref.get(failure), (reason) => reason !== null)

  /** Requests something that is not there, and notes whether the store is down. */
  const probe = store.head(probeKey).pipe(
    Effect.zipRight(store.tryOut ?? Effect.void),
    Effect.matchEffect({
      onFailure: (error) => note(error.reason),
      onSuccess: () => note(null)
    }),
    inOrder
  )

  /** Checks whether the store is there, if that costs nothing, and runs `whenBack` once it is back. */
  const look = (whenBack: Effect.Effect<unknown>) =>
    Effect.gen(function* () {
      if (store.look === undefined) return
      const wasDown = yield* isDown
      const isThere = yield* store.look.pipe(
        Effect.matchEffect({
          onFailure: (error) => Effect.as(note(error.reason), false),
          onSuccess: () => Effect.succeed(true)
        }),
        inOrder
      )
      if (wasDown && isThere) yield* Effect.zipRight(probe, Effect.unlessEffect(whenBack, isDown))
    })

  return { failure: Ref.get(failure), isDown, look, probe, sayThatItIsDown }
})
