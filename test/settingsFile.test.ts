import * as NodeFs from "node:fs"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Either, Fiber, Option, TestClock, TestServices } from "effect"
import type { Given } from "../src/Config/Given.ts"
import { compareGiven } from "../src/Config/reloadable.ts"
import { awaitOtherText } from "../src/Config/settingsFile.ts"
import { makeFolder } from "./support/process.ts"

/** Watches a file that had this text, and says whether another one was noticed after so many seconds. */
const watching = (path: string, known: Option.Option<string>) =>
  Effect.map(
    awaitOtherText(path, known).pipe(Effect.provide(NodeFileSystem.layer), Effect.forkScoped),
    (fiber) => (seconds: number) =>
      Effect.gen(function* () {
        /** It has read the file, however long that takes: it waits for the next second, or has noticed. */
        const hasRead = Effect.zipWith(
          TestClock.sleeps(),
          Fiber.poll(fiber),
          (sleeps, end) => Chunk.isNonEmpty(sleeps) || Option.isSome(end)
        ).pipe(
          Effect.zipLeft(TestServices.provideLive(Effect.sleep("5 millis"))),
          Effect.repeat({ until: (yes) => yes })
        )
        yield* hasRead
        for (let second = 0; second < seconds; second++) {
          yield* TestClock.adjust(Duration.seconds(1))
          yield* hasRead
        }
        return Option.isSome(yield* Fiber.poll(fiber))
      })
  )

describe("a watched settings file", () => {
  it.scoped("is noticed once it has had another text for a second", () =>
    Effect.gen(function* () {
      const path = `${yield* makeFolder}/collector.toml`
      NodeFs.writeFileSync(path, "a = 1")
      const noticed = yield* watching(path, Option.some("a = 1"))
      expect(yield* noticed(5)).toBe(false)
      NodeFs.writeFileSync(path, "a = 2")
      expect(yield* noticed(1)).toBe(false)
      NodeFs.writeFileSync(path, "a = 3")
      expect(yield* noticed(1)).toBe(false)
      expect(yield* noticed(1)).toBe(true)
    })
  )

  it.scoped("is not noticed if it is touched, or gone for a moment", () =>
    Effect.gen(function* () {
      const path = `${yield* makeFolder}/collector.toml`
      NodeFs.writeFileSync(path, "a = 1")
      const noticed = yield* watching(path, Option.some("a = 1"))
      NodeFs.utimesSync(path, 1, 1)
      expect(yield* noticed(2)).toBe(false)
      NodeFs.rmSync(path)
      expect(yield* noticed(1)).toBe(false)
      NodeFs.writeFileSync(path, "a = 1")
      expect(yield* noticed(3)).toBe(false)
      NodeFs.rmSync(path)
      expect(yield* noticed(2)).toBe(true)
    })
  )

  it.scoped("is noticed behind links, wherever they are switched", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      for (const n of [1, 2]) {
        NodeFs.mkdirSync(`${folder}/${n}`)
        NodeFs.writeFileSync(`${folder}/${n}/collector.toml`, `a = ${n}`)
      }
      NodeFs.symlinkSync("1", `${folder}/current`)
      const noticed = yield* watching(`${folder}/current/collector.toml`, Option.some("a = 1"))
      expect(yield* noticed(2)).toBe(false)
      NodeFs.symlinkSync("2", `${folder}/next`)
      NodeFs.renameSync(`${folder}/next`, `${folder}/current`)
      expect(yield* noticed(2)).toBe(true)
    })
  )
})

describe("settings that are loaded again", () => {
  const inFile = (name: string, value: unknown) =>
    [name, { _tag: "FileEntry", name, value, key: name.toLowerCase(), file: "collector.toml" }] as const
  const variable = (name: string, text: string) => [name, { _tag: "Variable", name, text }] as const

  it("name what takes effect later, and what the environment fixes", () => {
    const start = new Map([inFile("MARKETS", []), inFile("HTTP_PORT", 1), inFile("LOG_DIR", "a")])
    const now = new Map([inFile("MARKETS", [1]), inFile("LOG_DIR", "b"), inFile("BATCH_INTERVAL", 1)])
    expect(compareGiven(start, now)).toEqual(
      Either.right({ fixed: [], pending: ["HTTP_PORT", "LOG_DIR", "BATCH_INTERVAL"] })
    )
    const fixed = new Map<string, Given>([variable("MARKETS", "okx:*"), inFile("LOG_LEVEL", "info")])
    expect(compareGiven(fixed, fixed)).toEqual(Either.right({ fixed: ["MARKETS"], pending: [] }))
  })

  it("are refused without markets, unless there were none", () => {
    const some = new Map([inFile("MARKETS", [])])
    expect(Either.isLeft(compareGiven(some, new Map()))).toBe(true)
    expect(Either.isRight(compareGiven(new Map(), new Map()))).toBe(true)
  })
})
