import { Effect, Ref } from "effect"
import { probeKey } from "../../domain/Archive.ts"
import { ArchiveStore } from "../ArchiveStore.ts"

/** Whether the store is down, as far as is known: one that does not take an object may be well all the same. */
export const makeStoreState = Effect.gen(function* () {
  const store = yield* ArchiveStore
  /** Why it is down. */
  const failure = yield* Ref.make<string | null>(null)

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

  /** Asks it for something that is not there, and notes whether it is down. */
  const probe = store.head(probeKey).pipe(
    Effect.zipRight(store.tryOut ?? Effect.void),
    Effect.matchEffect({
      onFailure: (error) => note(error.reason),
      onSuccess: () => note(null)
    })
  )

  /** Looks whether it is there, where that costs nothing, and does something where it is back. */
  const look = (whenBack: Effect.Effect<unknown>) =>
    Effect.gen(function* () {
      if (store.look === undefined) return
      const wasDown = yield* isDown
      yield* Effect.matchEffect(store.look, {
        onFailure: (error) => note(error.reason),
        onSuccess: () =>
          wasDown ? Effect.zipRight(probe, Effect.unlessEffect(whenBack, isDown)) : Effect.void
      })
    })

  return { failure: Ref.get(failure), isDown, look, probe, sayThatItIsDown }
})
