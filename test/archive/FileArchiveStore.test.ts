import { spawnSync } from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Logger, Option, Stream } from "effect"
import { ArchiveStore, type LocalObject } from "../../src/archive/ArchiveStore.ts"
import * as FileArchiveStore from "../../src/archive/FileArchiveStore.ts"
import { archiveStoreSuite, localObject } from "../suites/ArchiveStoreSuite.ts"

const scratch = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

archiveStoreSuite(
  "a folder",
  Layer.unwrapScoped(
    Effect.map(scratch, (folder) => FileArchiveStore.layer({ directory: `${folder}/made/for/it` }))
  ).pipe(Layer.provide(NodeContext.layer))
)

const run = (program: string, ...options: ReadonlyArray<string>) =>
  spawnSync(program, options, { stdio: "pipe" }).status === 0

const unmount = (folder: string) => run("umount", "--lazy", folder)

/** Whether file systems can be mounted here. */
const canMount = (() => {
  const folder = NodeFs.mkdtempSync("/tmp/mount-")
  const isMounted = run("mount", "-t", "tmpfs", "tmpfs", folder)
  if (isMounted) unmount(folder)
  NodeFs.rmdirSync(folder)
  return isMounted
})()

/** Puts nothing, and finds nothing, as it should while its folder is gone. */
const isAway = (object: LocalObject) =>
  Effect.gen(function* () {
    const store = yield* ArchiveStore
    const away = {
      _tag: "ArchiveStoreError",
      kind: "Failed",
      reason: expect.stringContaining("ARCHIVE_DIR=")
    }
    expect(yield* Effect.flip(store.put(object))).toMatchObject(away)
    expect(yield* Effect.flip(store.head(object.key))).toMatchObject(away)
    expect(yield* Effect.flip(store.look ?? Effect.void)).toMatchObject(away)
  })

/** Has what it was given, and takes more. */
const isThere = (...objects: ReadonlyArray<LocalObject>) =>
  Effect.gen(function* () {
    const store = yield* ArchiveStore
    yield* store.look ?? Effect.void
    for (const { key, size } of objects) expect(yield* store.head(key)).toMatchObject({ value: { size } })
    yield* store.put(
      yield* localObject(
        `more/${yield* Effect.clockWith((clock) => clock.currentTimeNanos)}`,
        Buffer.from("more")
      )
    )
  })

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

describe("a folder that is not the one that was opened", () => {
  it.scopedLive("is left unchanged, or not recreated, until the old one is back", () =>
    Effect.gen(function* () {
      const directory = `${yield* scratch}/archive`
      const [first, second] = yield* Effect.all([
        localObject("a/first.parquet", Buffer.from("1")),
        localObject("b/second.parquet", Buffer.from("2"))
      ])
      yield* Effect.gen(function* () {
        const store = yield* ArchiveStore
        yield* store.put(first)
        for (const _ of [1, 2]) {
          NodeFs.renameSync(directory, `${directory}.away`)
          yield* isAway(second)
          expect(NodeFs.existsSync(directory)).toBe(false)
          NodeFs.mkdirSync(directory)
          yield* isAway(second)
          NodeFs.writeFileSync(`${directory}/other`, "of somebody else")
          yield* isAway(second)
          expect(NodeFs.readdirSync(directory)).toEqual(["other"])
          NodeFs.rmSync(directory, { recursive: true })
          NodeFs.writeFileSync(directory, "a file in its place")
          yield* isAway(second)
          NodeFs.rmSync(directory)
          NodeFs.renameSync(`${directory}.away`, directory)
          yield* isThere(first)
        }
        // as after moving to a larger disk
        NodeFs.cpSync(directory, `${directory}.copy`, { recursive: true })
        NodeFs.renameSync(directory, `${directory}.away`)
        NodeFs.renameSync(`${directory}.copy`, directory)
        yield* isThere(first)
        yield* store.put(second)
        NodeFs.rmSync(directory, { recursive: true })
        yield* isAway(first)
        expect(NodeFs.existsSync(directory)).toBe(false)
      }).pipe(Effect.provide(FileArchiveStore.layer({ directory })))
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive.skipIf(!canMount)(
    `is the one below a mount point${canMount ? "" : " (skipped: nothing can be mounted here)"}`,
    () =>
      Effect.gen(function* () {
        const folder = yield* scratch
        const [disk, directory] = [`${folder}/disk`, `${folder}/archive`]
        for (const path of [disk, directory]) {
          NodeFs.mkdirSync(path)
          yield* Effect.addFinalizer(() => Effect.sync(() => unmount(path)))
        }
        expect(run("mount", "-t", "tmpfs", "tmpfs", disk)).toBe(true)
        NodeFs.mkdirSync(`${disk}/below`)
        for (const root of [directory, `${directory}/below`]) {
          const [first, second] = yield* Effect.all([
            localObject(`${root.length}/first.parquet`, Buffer.from("1")),
            localObject(`${root.length}/second.parquet`, Buffer.from("2"))
          ])
          expect(run("mount", "--bind", disk, directory)).toBe(true)
          yield* Effect.gen(function* () {
            const store = yield* ArchiveStore
            yield* store.put(first)
            unmount(directory)
            yield* isAway(second)
            expect(NodeFs.readdirSync(directory)).toEqual([])
            run("mount", "--bind", disk, directory)
            yield* isThere(first)
          }).pipe(Effect.provide(FileArchiveStore.layer({ directory: root })))
          unmount(directory)
        }
        // a disk that is swapped for an empty one
        const object = yield* localObject("a/first.parquet", Buffer.from("1"))
        run("mount", "-t", "tmpfs", "tmpfs", directory)
        yield* Effect.gen(function* () {
          const store = yield* ArchiveStore
          yield* store.put(object)
          unmount(directory)
          yield* isAway(object)
          run("mount", "-t", "tmpfs", "tmpfs", directory)
          expect(yield* store.head(object.key)).toEqual(Option.none())
          yield* isThere()
        }).pipe(Effect.provide(Layer.provideMerge(FileArchiveStore.layer({ directory }), silent)))
        unmount(directory)
      }).pipe(Effect.provide(NodeContext.layer))
  )
})

describe.skipIf(!canMount)(`a disk${canMount ? "" : " (skipped: nothing can be mounted here)"}`, () => {
  it.scopedLive("accepts nothing while it is full or read-only", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      yield* Effect.addFinalizer(() => Effect.sync(() => unmount(directory)))
      run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", directory)
      yield* Effect.gen(function* () {
        const { tryOut = Effect.void } = yield* ArchiveStore
        yield* tryOut
        NodeFs.writeFileSync(`${directory}/large`, Buffer.alloc(230_000))
        expect(yield* Effect.flip(tryOut)).toMatchObject({ reason: expect.stringContaining("ENOSPC") })
        NodeFs.rmSync(`${directory}/large`)
        yield* tryOut
        run("mount", "-o", "remount,ro", directory)
        expect(yield* Effect.flip(tryOut)).toMatchObject({ reason: expect.stringContaining("EROFS") })
        run("mount", "-o", "remount,rw", directory)
        yield* tryOut
        expect(NodeFs.readdirSync(directory)).toEqual([])
      }).pipe(Effect.provide(FileArchiveStore.layer({ directory })))
    }).pipe(Effect.provide(NodeContext.layer))
  )
})

const silent = Logger.remove(Logger.defaultLogger)

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

  it.scopedLive("fails at once, naming the setting, if its folder cannot be written", () =>
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

  it.scopedLive("hashes the current content of the file", () =>
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
