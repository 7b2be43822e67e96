import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Stream } from "effect"
import { ArchiveStore } from "../../src/archive/ArchiveStore.ts"
import * as FileArchiveStore from "../../src/archive/FileArchiveStore.ts"
import { archiveStoreSuite, localObject } from "../suites/ArchiveStoreSuite.ts"

const scratch = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

archiveStoreSuite(
  "a folder",
  Layer.unwrapScoped(
    Effect.map(scratch, (folder) => FileArchiveStore.layer({ directory: `${folder}/made/for/it` }))
  ).pipe(Layer.provide(NodeContext.layer))
)

/** A folder on another file system than temporary files, where links are not possible. */
const elsewhere = "/dev/shm"
const hasElsewhere =
  NodeFs.existsSync(elsewhere) &&
  NodeFs.statSync(elsewhere).dev !== NodeFs.statSync(NodeFs.realpathSync("/tmp")).dev

describe.skipIf(!hasElsewhere)(`on another file system (skipped where ${elsewhere} is none)`, () => {
  archiveStoreSuite(
    "a folder on another file system than the local files",
    Layer.unwrapScoped(
      Effect.map(
        Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ directory: elsewhere })),
        (directory) => FileArchiveStore.layer({ directory })
      )
    ).pipe(Layer.provide(NodeContext.layer))
  )
})

describe("FileArchiveStore", () => {
  it.scopedLive("leaves nothing but the object in its folder, and does not list temporary files", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const object = yield* localObject("a/b.parquet", Buffer.from("1"))
      const keys = yield* Effect.gen(function* () {
        const store = yield* ArchiveStore
        yield* store.put(object)
        yield* Effect.flip(store.put({ ...(yield* localObject("a/b.parquet", Buffer.from("2"))) }))
        NodeFs.writeFileSync(NodePath.join(directory, "a", ".put-0123456789abcdef-0"), "left by a crash")
        return Chunk.toReadonlyArray(yield* Stream.runCollect(store.list("")))
      }).pipe(Effect.provide(FileArchiveStore.layer({ directory })))
      expect(keys.map((found) => found.key)).toEqual(["a/b.parquet"])
      expect(NodeFs.readdirSync(directory)).toEqual(["a"])
      expect(NodeFs.readdirSync(NodePath.join(directory, "a")).sort()).toEqual([
        ".put-0123456789abcdef-0",
        "b.parquet"
      ])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("says at once, naming the setting, that its folder cannot be written", () =>
    Effect.gen(function* () {
      const file = `${yield* scratch}/file`
      NodeFs.writeFileSync(file, "")
      const error = yield* Effect.flip(
        Effect.scoped(Layer.build(FileArchiveStore.layer({ directory: `${file}/below` })))
      )
      expect(error._tag).toBe("ArchiveStoreUnusable")
      expect(error.message).toContain(`ARCHIVE_DIR=${file}/below: `)
      expect(error.message).not.toContain("\n")
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("hashes what is in the file now", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const object = yield* localObject("a.parquet", Buffer.from("12345"))
      const head = yield* Effect.gen(function* () {
        const store = yield* ArchiveStore
        yield* store.put(object)
        NodeFs.writeFileSync(NodePath.join(directory, "a.parquet"), "rotten")
        return yield* store.head("a.parquet")
      }).pipe(Effect.provide(FileArchiveStore.layer({ directory })))
      expect(head).toMatchObject({ value: { size: 6 } })
      expect(head).not.toMatchObject({ value: { sha256: { value: object.sha256 } } })
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
