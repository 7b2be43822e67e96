import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Fiber, type Scope } from "effect"
import type { ArchiveStore, ArchiveStoreError } from "../../archive/ArchiveStore.ts"
import { download } from "../../archive/download.ts"

/** Takes an object by its position: the path of its file, which is removed with the scope. Once each, in order. */
export type TakeObject = (
  position: number
) => Effect.Effect<string, ArchiveStoreError | PlatformError, Scope.Scope>

/** Downloads objects into a folder before they are taken: at most `ahead` more than have been. */
export const fetchAhead = (
  keys: ReadonlyArray<string>,
  folder: string,
  ahead: number
): Effect.Effect<TakeObject, never, ArchiveStore | FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const services = yield* Effect.context<ArchiveStore | FileSystem.FileSystem>()
    const scope = yield* Effect.scope
    const started: Array<Fiber.Fiber<string, ArchiveStoreError | PlatformError>> = []
    const start = (key: string) => {
      const path = `${folder}/${started.length}.parquet`
      return download(key, path).pipe(Effect.as(path), Effect.provide(services), Effect.forkIn(scope))
    }
    return (position) =>
      Effect.gen(function* () {
        for (const key of keys.slice(started.length, position + ahead + 1)) started.push(yield* start(key))
        const fiber = started[position]
        if (fiber === undefined) return yield* Effect.dieMessage(`there is no object ${position}`)
        return yield* Effect.acquireRelease(Fiber.join(fiber), (path) =>
          Effect.ignore(fs.remove(path, { force: true }))
        )
      })
  })
