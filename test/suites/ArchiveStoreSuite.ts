import { createHash } from "node:crypto"
import * as NodeFs from "node:fs"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { afterAll, describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, ManagedRuntime, Option, Stream } from "effect"
import { ArchiveStore, type LocalObject } from "../../src/archive/ArchiveStore.ts"
import { openFilesBelow } from "../support/openFiles.ts"
import { patience } from "../support/pace.ts"

/** What an implementation, or the server behind it, cannot do: the cases are skipped and say so. */
export interface Lacking {
  /** Why hashes are not verified on the way. */
  readonly verification?: string
  /** Why puts at the same time are not told apart. */
  readonly races?: string
  /** Why lists come in another order. */
  readonly order?: string
}

/**
 * What every ArchiveStore does. The layer's store may be used by all cases; each has keys of its own.
 */
export const archiveStoreSuite = <E>(
  name: string,
  layer: Layer.Layer<ArchiveStore, E>,
  lacking: Lacking = {}
): void => {
  const missing = (reason: string | undefined) => (reason === undefined ? "" : ` (skipped: ${reason})`)

  describe(`ArchiveStore: ${name}`, () => {
    const runtime = ManagedRuntime.make(Layer.merge(layer, NodeContext.layer))
    const inStore = Effect.provide(runtime)
    afterAll(() => runtime.dispose(), patience)

    it.scopedLive("keeps a file under its key and says what it is", () =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        const object = yield* localObject(
          "keep/exchange=a/symbol=BTC%2FUSD/x y+z_é.parquet",
          randomBytes(300_000)
        )
        expect(yield* store.head(object.key)).toEqual(Option.none())
        yield* store.put(object)
        expect(yield* store.head(object.key)).toEqual(stored(object))
        expect(yield* bytesOf(object.key)).toEqual(NodeFs.readFileSync(object.path))
        expect(NodeFs.statSync(object.path).size).toBe(object.size)
      }).pipe(inStore)
    )

    it.scopedLive("takes the same object again as a success", () =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        const object = yield* localObject("again/a.parquet", randomBytes(1000))
        yield* store.put(object)
        yield* store.put(object)
        const copy = yield* localObject("again/a.parquet", NodeFs.readFileSync(object.path))
        yield* store.put(copy)
        expect(yield* store.head(object.key)).toEqual(stored(object))
      }).pipe(inStore)
    )

    it.scopedLive("never replaces an object of other content", () =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        const first = yield* localObject("conflict/a.parquet", Buffer.from("first"))
        yield* store.put(first)
        for (const other of ["other", "longer than the first"]) {
          const error = yield* Effect.flip(store.put(yield* localObject(first.key, Buffer.from(other))))
          expect(error).toMatchObject({
            _tag: "ArchiveStoreError",
            kind: "Conflict",
            operation: "put",
            key: first.key
          })
        }
        expect(Buffer.from(yield* bytesOf(first.key)).toString()).toBe("first")
      }).pipe(inStore)
    )

    it.scopedLive.skipIf(lacking.races !== undefined)(
      `lets one of several puts at the same time win${missing(lacking.races)}`,
      () =>
        Effect.gen(function* () {
          const store = yield* ArchiveStore
          const objects = yield* Effect.forEach([1, 2, 3, 4], (i) =>
            localObject("race/a.parquet", Buffer.alloc(200_000, i))
          )
          const results = yield* Effect.forEach(objects, (object) => Effect.either(store.put(object)), {
            concurrency: "unbounded"
          })
          const winners = objects.filter((_, i) => results[i]?._tag === "Right")
          expect(winners.length).toBe(1)
          expect(yield* store.head("race/a.parquet")).toEqual(
            Option.flatMap(Option.fromNullable(winners[0]), stored)
          )
        }).pipe(inStore)
    )

    it.scopedLive("keeps empty files and files of many megabytes", () =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        for (const object of [
          yield* localObject("sizes/0.parquet", Buffer.alloc(0)),
          yield* localObject("sizes/20m.parquet", randomBytes(20_000_000))
        ]) {
          yield* store.put(object)
          expect(yield* store.head(object.key)).toEqual(stored(object))
          expect(sha256(yield* bytesOf(object.key))).toBe(object.sha256)
        }
      }).pipe(inStore)
    )

    it.scopedLive("refuses a file that has another length than it should, or is not there", () =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        const object = yield* localObject("wrong/length.parquet", Buffer.from("12345"))
        for (const wrong of [
          { ...object, size: 4 },
          { ...object, size: 6 },
          { ...object, path: `${object.path}.gone` }
        ]) {
          expect(yield* Effect.flip(store.put(wrong))).toMatchObject({ kind: "Refused" })
        }
        expect(yield* store.head(object.key)).toEqual(Option.none())
        expect(openFilesBelow(object.path)).toEqual([])
      }).pipe(inStore)
    )

    it.scopedLive.skipIf(lacking.verification !== undefined)(
      `refuses a file of other content than it should have${missing(lacking.verification)}`,
      () =>
        Effect.gen(function* () {
          const store = yield* ArchiveStore
          const object = yield* localObject("wrong/hash.parquet", Buffer.from("12345"))
          const error = yield* Effect.flip(store.put({ ...object, sha256: sha256(Buffer.from("54321")) }))
          expect(error.kind).toBe("Refused")
          expect(yield* store.head(object.key)).toEqual(Option.none())
        }).pipe(inStore)
    )

    it.scopedLive("refuses keys that lead elsewhere", () =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        const object = yield* localObject("fine", Buffer.from("1"))
        for (const key of [
          "",
          "/absolute",
          "../up",
          "a/../../up",
          "a/./b",
          "a//b",
          "a/",
          "a\u0000b",
          "a\\b",
          ".."
        ]) {
          expect(yield* Effect.flip(store.put({ ...object, key }))).toMatchObject({ kind: "Refused" })
          expect(yield* Effect.flip(store.head(key))).toMatchObject({ kind: "Refused" })
          expect(yield* Effect.flip(Stream.runDrain(store.get(key)))).toMatchObject({ kind: "Refused" })
        }
      }).pipe(inStore)
    )

    it.scopedLive("fails to get what is not there", () =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        const error = yield* Effect.flip(Stream.runDrain(store.get("no/such.parquet")))
        expect(error).toMatchObject({ operation: "get", kind: "Refused", key: "no/such.parquet" })
        expect(yield* store.head("no")).toEqual(Option.none())
      }).pipe(inStore)
    )

    it.scopedLive("lets a reader stop early", () =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        const object = yield* localObject("early/a.parquet", randomBytes(5_000_000))
        yield* store.put(object)
        const some = yield* Stream.runCollect(Stream.take(store.get(object.key), 1))
        expect(Chunk.size(some)).toBe(1)
        expect(sha256(yield* bytesOf(object.key))).toBe(object.sha256)
      }).pipe(inStore)
    )

    it.scopedLive("lists what begins with a prefix", () =>
      Effect.gen(function* () {
        const objects = yield* putNames("list")
        const keys = objects.map((object) => object.key)
        const prefixes = ["a", "a/", "b/1", "b/1/", "é", "none", "", "a/x.parquet"].map(
          (rest) => `list/${rest}`
        )
        for (const prefix of [...prefixes, "lis"]) {
          const listed = (yield* listedBelow(prefix)).map((object) => object.key)
          expect(listed.sort()).toEqual(keys.filter((key) => key.startsWith(prefix)).sort())
        }
        const sizes = new Map((yield* listedBelow("list/")).map((object) => [object.key, object.size]))
        expect(sizes).toEqual(new Map(objects.map((object) => [object.key, object.size])))
        expect((yield* listedBelow("")).length).toBeGreaterThanOrEqual(keys.length)
      }).pipe(inStore)
    )

    it.scopedLive.skipIf(lacking.order !== undefined)(
      `lists in the order of the keys' bytes${missing(lacking.order)}`,
      () =>
        Effect.gen(function* () {
          const keys = (yield* putNames("order")).map((object) => object.key)
          const inOrder = keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
          expect((yield* listedBelow("order/")).map((object) => object.key)).toEqual(inOrder)
        }).pipe(inStore)
    )
  })
}

/** Stores objects whose names are easily put into a wrong order. */
const putNames = (folder: string) =>
  Effect.flatMap(ArchiveStore, (store) =>
    Effect.forEach(
      ["b/2", "b/1/x", "a", "a-b/x", "a/x", "a/y/z", "ab", "é/x", "b/10", "Z"],
      (name) => Effect.tap(localObject(`${folder}/${name}.parquet`, Buffer.from(name)), store.put),
      { concurrency: 4 }
    )
  )

const listedBelow = (prefix: string) =>
  Effect.flatMap(ArchiveStore, (store) =>
    Effect.map(Stream.runCollect(store.list(prefix)), (objects) => [...objects])
  )

/** A file of the given bytes in a folder that is removed with the scope. */
export const localObject = (key: string, bytes: Uint8Array) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = `${yield* fs.makeTempDirectoryScoped()}/local.parquet`
    yield* fs.writeFile(path, bytes)
    return { key, path, size: bytes.length, sha256: sha256(bytes) } satisfies LocalObject
  })

/** All bytes of an object. */
export const bytesOf = (key: string) =>
  Effect.flatMap(ArchiveStore, (store) =>
    Effect.map(Stream.runCollect(store.get(key)), (chunks) => Buffer.concat(Chunk.toReadonlyArray(chunks)))
  )

const stored = (object: LocalObject) =>
  Option.some({ key: object.key, size: object.size, sha256: Option.some(object.sha256) })

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

const randomBytes = (length: number) => {
  const bytes = Buffer.alloc(length)
  let state = length
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}
