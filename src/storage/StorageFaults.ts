import { Clock, Context, Effect, Layer, Ref } from "effect"
import type { StorageFault } from "../domain/StorageView.ts"

/** What is wrong with storage, for /health: whatever observes a fault reports it again and again while it lasts. */
export class StorageFaults extends Context.Tag("collector/StorageFaults")<
  StorageFaults,
  {
    /** Reports that something is wrong now, or was at an earlier time, microseconds. The latest fault for each `what` is kept. */
    readonly tell: (fault: {
      readonly what: string
      readonly severity: StorageFault["severity"]
      readonly reason: string
      readonly at?: number
    }) => Effect.Effect<void>
    readonly all: Effect.Effect<ReadonlyArray<StorageFault>>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const faults = yield* Ref.make<ReadonlyMap<string, StorageFault>>(new Map())
      return StorageFaults.of({
        tell: ({ at, reason, severity, what }) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Ref.update(faults, (all) => new Map(all).set(what, { severity, reason, at: at ?? now * 1000 }))
          ),
        all: Effect.map(Ref.get(faults), (all) => Array.from(all.values()))
      })
    })
  )
}
