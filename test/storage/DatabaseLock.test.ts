import * as NodeFs from "node:fs"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { lock } from "../../src/storage/DatabaseLock.ts"
import { temporaryFolder } from "../support/storage.ts"

/** Whether a second one is refused while the first one is held. */
const excludes = (first: string, second: string) =>
  Effect.scoped(Effect.zipRight(lock(first), Effect.either(Effect.scoped(lock(second))))).pipe(
    Effect.map((result) => (result._tag === "Left" ? result.left.message : "taken")),
    Effect.provide(NodeContext.layer)
  )

const inUse = (path: string) => `DATABASE_PATH=${path}: another collector is using this database`

describe("the lock of a database", () => {
  it.scopedLive("locks the file, under whatever name", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      NodeFs.mkdirSync(`${folder}/data`)
      NodeFs.symlinkSync(`${folder}/data`, `${folder}/folder`)
      // the database is still to be made
      NodeFs.symlinkSync("data/c.db", `${folder}/link.db`)
      const path = `${folder}/data/c.db`
      for (const isThere of [false, true]) {
        if (isThere) NodeFs.writeFileSync(path, "")
        for (const other of [`${folder}/folder/c.db`, `${folder}/link.db`]) {
          expect(yield* excludes(path, other)).toBe(inUse(other))
        }
      }
      expect(yield* excludes(`${folder}/link.db`, path)).toBe(inUse(path))
      expect(yield* excludes(path, `${folder}/data/d.db`)).toBe("taken")
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("is refused for a link that leads to itself", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      NodeFs.symlinkSync(`${folder}/a.db`, `${folder}/b.db`)
      NodeFs.symlinkSync(`${folder}/b.db`, `${folder}/a.db`)
      const error = yield* Effect.flip(Effect.scoped(lock(`${folder}/a.db`)))
      expect(error.message).toContain(`DATABASE_PATH=${folder}/a.db: cannot be locked`)
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
