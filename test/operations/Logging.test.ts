import { join } from "node:path"
import { Writable } from "node:stream"
import { FileSystem } from "@effect/platform"
import { type PlatformError, SystemError } from "@effect/platform/Error"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  ConfigProvider,
  Data,
  Effect,
  FastCheck,
  Layer,
  LogLevel,
  Redacted,
  TestClock,
  TestServices
} from "effect"
import type { LogDirectives } from "../../src/domain/StorageSettings.ts"
import type { Output } from "../../src/operations/Logging/Stdout.ts"
import * as Logging from "../../src/operations/Logging.ts"

describe("stdout", () => {
  it.scoped("prints readable lines", () =>
    Effect.gen(function* () {
      const { logged } = yield* logAll(
        Effect.gen(function* () {
          yield* Effect.logInfo("connected").pipe(
            Effect.annotateLogs({
              module: "exchange",
              url: new URL("wss://u:hush@example.com/ws"),
              streams: 3
            })
          )
          yield* Effect.logWarning("odd", { key: Redacted.make("hush") }, 'a "word"').pipe(
            Effect.annotateLogs({ key: Redacted.make("hush"), text: 'a "b"=c', empty: "" })
          )
          yield* Effect.logError(
            "it broke\nfor good",
            Cause.fail(new Broken({ part: "axle", cause: new Error("rust") }))
          )
          yield* Effect.logFatal("\u001b[31mred", Cause.die("oops"))
        })
      )
      expect(logged.stdout.split("\n")).toEqual([
        "2026-03-04T23:59:59.000Z INFO  exchange   connected streams=3 url=wss://u:***@example.com/ws",
        '2026-03-04T23:59:59.000Z WARN  -          odd {"key":"<redacted>"} a "word" empty="" key=<redacted> text="a \\"b\\"=c"',
        '2026-03-04T23:59:59.000Z ERROR -          it broke\\nfor good cause="Broken: {\\"part\\":\\"axle\\"} (caused by Error: rust)"',
        "2026-03-04T23:59:59.000Z FATAL -          \\u001b[31mred cause=oops",
        ""
      ])
    })
  )

  it.scoped("has colours on a terminal, unless NO_COLOR is set", () =>
    Effect.gen(function* () {
      const log = logAll(Effect.logInfo("hello"), { isTTY: true })
      expect((yield* log).logged.stdout).toContain("\u001b[32mINFO \u001b[0m")
      const plain = log.pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["NO_COLOR", "1"]]))))
      expect((yield* plain).logged.stdout).not.toContain("\u001b")
    })
  )

  it.scoped("can be closed", () =>
    Effect.gen(function* () {
      const closed = new Writable({ write: (_chunk, _encoding, done) => done(new Error("write EPIPE")) })
      const { files } = yield* logAll(
        Effect.gen(function* () {
          yield* Effect.logInfo("one")
          yield* live("10 millis")
          yield* Effect.logInfo("two")
        }),
        closed
      )
      expect(messages(files["collector.log.2026-03-04"])).toEqual(["one", "two"])
    })
  )
})

describe("the log file", () => {
  it.scoped("has a JSON object per line", () =>
    Effect.gen(function* () {
      const { files } = yield* logAll(
        Effect.gen(function* () {
          yield* Effect.logInfo("connected").pipe(
            Effect.annotateLogs({
              module: "exchange",
              url: "wss://example.com",
              n: 3,
              secret: Redacted.make("hush")
            })
          )
          yield* TestClock.adjust("20 millis").pipe(
            Effect.zipRight(Effect.logError("broke", Cause.die(new Error("rust")))),
            Effect.withLogSpan("batch")
          )
        })
      )
      const [first, second, ...rest] = entries(files["collector.log.2026-03-04"])
      expect(rest).toEqual([])
      expect(first).toEqual({
        timestamp: "2026-03-04T23:59:59.000Z",
        level: "INFO",
        module: "exchange",
        message: "connected",
        fields: { n: 3, secret: "<redacted>", url: "wss://example.com" }
      })
      expect(second).toMatchObject({ level: "ERROR", module: "", message: "broke", span: { batch: 20 } })
      expect(second).toHaveProperty("cause", expect.stringMatching(/^Error: rust\n +at /))
    })
  )

  it.scoped("changes at midnight, and is appended to after a restart", () =>
    Effect.gen(function* () {
      const directory = yield* makeDirectory
      const first = Effect.gen(function* () {
        yield* Effect.logInfo("yesterday")
        yield* TestClock.adjust("1 second")
        yield* Effect.logInfo("today")
      })
      yield* logAll(first, undefined, { directory })
      const { files } = yield* logAll(
        Effect.zipRight(TestClock.adjust("1 second"), Effect.logInfo("again")),
        undefined,
        { directory }
      )
      expect(messages(files["collector.log.2026-03-04"])).toEqual(["yesterday"])
      expect(messages(files["collector.log.2026-03-05"])).toEqual(["today", "again"])
    })
  )

  it.scoped("is written within a second", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* makeDirectory
      yield* logAll(
        Effect.gen(function* () {
          yield* Effect.logInfo("soon")
          yield* TestClock.adjust("900 millis")
          yield* live("100 millis")
          expect(messages(yield* fs.readFileString(join(directory, "collector.log.2026-03-04")))).toEqual([
            "soon"
          ])
        }),
        undefined,
        { directory }
      )
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.scoped("completes a line that a crash cut off", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* makeDirectory
      yield* fs.writeFileString(join(directory, "collector.log.2026-03-04"), '{"message":"tor')
      const { files } = yield* logAll(Effect.logInfo("whole"), undefined, { directory })
      const [torn, whole] = (files["collector.log.2026-03-04"] ?? "").split("\n")
      expect(torn).toBe('{"message":"tor')
      expect(messages(whole)).toEqual(["whole"])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.scoped("is recreated if its directory is removed", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = join(yield* makeDirectory, "a", "b")
      const { files } = yield* logAll(
        Effect.gen(function* () {
          yield* Effect.logInfo("lost with its file")
          yield* TestClock.adjust("500 millis")
          yield* live("100 millis")
          yield* fs.remove(directory, { recursive: true })
          yield* Effect.logInfo("kept")
        }),
        undefined,
        { directory }
      )
      expect(messages(files["collector.log.2026-03-04"])).toEqual(["kept"])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.scoped("is reported once if it cannot be written, and loses nothing while there is room", () =>
    Effect.gen(function* () {
      const disk = { full: false }
      const { files, logged } = yield* logAll(
        Effect.gen(function* () {
          yield* Effect.logInfo("one")
          disk.full = true
          for (let i = 0; i < 5; i++) {
            yield* TestClock.adjust("500 millis")
            yield* live("30 millis")
          }
          yield* Effect.logInfo("two")
          disk.full = false
        }),
        undefined,
        { fileSystem: withFullDisk(disk) }
      )
      const lines = Object.values(files).flatMap((file) => file.split("\n"))
      const whole = lines.filter((line) => line.endsWith("}")).flatMap(messages)
      expect(whole).toEqual(["one", "two", "log file is written again"])
      expect(logged.stdout.match(/cannot be written/g)).toHaveLength(1)
      expect(logged.stdout).toContain('reason="no space left on device"')
      expect(logged.stdout).toContain("log file is written again lost=0")
    })
  )

  it.scoped("keeps a bounded number of lines while it cannot be written, and counts the rest", () =>
    Effect.gen(function* () {
      const disk = { full: true }
      const { files, logged } = yield* logAll(
        Effect.gen(function* () {
          const text = "x".repeat(8000)
          yield* Effect.forEach(Array.from({ length: 600 }), () => Effect.logInfo(text), { discard: true })
          yield* TestClock.adjust("500 millis")
          yield* live("50 millis")
          disk.full = false
        }),
        undefined,
        { fileSystem: withFullDisk(disk) }
      )
      const count = Object.values(files).join("").split("x".repeat(8000)).length - 1
      expect(count).toBeGreaterThan(400)
      expect(logged.stdout).toContain(`log file is written again lost=${600 - count}`)
    })
  )

  it.scoped("fails the layer if it cannot be created", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const blocked = join(yield* makeDirectory, "file")
      yield* fs.writeFileString(blocked, "")
      const error = yield* Effect.flip(logAll(Effect.void, undefined, { directory: join(blocked, "logs") }))
      expect(error).toMatchObject({
        _tag: "ResourceUnavailable",
        reason: `LOG_DIR="${join(blocked, "logs")}": cannot be written: not a directory`
      })
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})

describe("directives", () => {
  it.scoped("set the level for each module", () =>
    Effect.gen(function* () {
      const { files } = yield* logAll(
        Effect.forEach(["archive", "storage", "exchange"], (module) =>
          Effect.logDebug(`${module} debug`).pipe(
            Effect.zipRight(Effect.logInfo(`${module} info`)),
            Effect.zipRight(Effect.logError(`${module} error`)),
            Effect.annotateLogs({ module })
          )
        ),
        undefined,
        {
          directives: {
            level: LogLevel.Info,
            modules: new Map([
              ["archive", LogLevel.Debug],
              ["storage", LogLevel.None]
            ])
          }
        }
      )
      expect(messages(files["collector.log.2026-03-04"])).toEqual([
        "archive debug",
        "archive info",
        "archive error",
        "exchange info",
        "exchange error"
      ])
    })
  )
})

describe("whatever is logged", () => {
  it.scoped.prop(
    "is one line on stdout and one JSON object in the file",
    {
      value: FastCheck.anything({
        withBigInt: true,
        withDate: true,
        withMap: true,
        withSet: true,
        withTypedArray: true,
        withNullPrototype: true
      })
    },
    ({ value }) =>
      Effect.gen(function* () {
        const { files, logged } = yield* logAll(
          Effect.logInfo("odd", value).pipe(
            Effect.annotateLogs({
              value,
              hostile: new Proxy(
                {},
                {
                  get: () => value,
                  ownKeys: () => {
                    throw new Error("no")
                  }
                }
              )
            })
          )
        )
        expect(logged.stdout.split("\n")).toHaveLength(2)
        expect(entries(files["collector.log.2026-03-04"])).toHaveLength(1)
      }),
    { fastCheck: { numRuns: 50 } }
  )

  it.scoped("hides secrets wherever they are", () =>
    Effect.gen(function* () {
      const secret = Redacted.make("hush")
      const circular: Record<string, unknown> = { secret }
      circular.self = circular
      const { files, logged } = yield* logAll(
        Effect.logError(
          secret,
          { deep: [{ secret }], map: new Map([["secret", secret]]) },
          circular,
          Cause.fail(new Broken({ part: "key", cause: { secret } }))
        ).pipe(Effect.annotateLogs({ secret, within: { secret } }))
      )
      expect(logged.stdout).toContain("(circular)")
      expect(logged.stdout + Object.values(files).join("")).not.toContain("hush")
    })
  )
})

class Broken extends Data.TaggedError("Broken")<{ readonly part: string; readonly cause: unknown }> {}

const start = Date.parse("2026-03-04T23:59:59Z")

/** Runs with the logging layer on, closes it, and says what came out. */
const logAll = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  stdout: Output | { readonly isTTY: boolean } = { isTTY: false },
  options: {
    readonly directory?: string
    readonly directives?: LogDirectives
    readonly fileSystem?: (real: FileSystem.FileSystem) => FileSystem.FileSystem
  } = {}
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* TestClock.setTime(start)
    const directory = options.directory ?? (yield* makeDirectory)
    const logged = { stdout: "" }
    const recorder = new Writable({
      decodeStrings: false,
      write: (chunk, _encoding, done) => {
        logged.stdout += String(chunk)
        done()
      }
    })
    const layer = Logging.layer({
      directory,
      directives: options.directives ?? { level: LogLevel.Info, modules: new Map() },
      stdout: stdout instanceof Writable ? stdout : Object.assign(recorder, stdout)
    })
    yield* effect.pipe(
      Effect.provide(
        Layer.provide(layer, Layer.succeed(FileSystem.FileSystem, options.fileSystem?.(fs) ?? fs))
      )
    )
    const names = yield* fs.readDirectory(directory)
    const files = yield* Effect.forEach(names, (name) =>
      Effect.map(fs.readFileString(join(directory, name)), (text) => [name, text] as const)
    )
    return { files: Object.fromEntries(files), logged }
  }).pipe(Effect.provide(NodeFileSystem.layer))

const makeDirectory = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()).pipe(
  Effect.provide(NodeFileSystem.layer)
)

/** Real time: for what the operating system does. */
const live = (time: `${number} millis`) => TestServices.provideLive(Effect.sleep(time))

/** A disk that takes half a write when it is full, and then no more, as disks do. */
const withFullDisk =
  (disk: { full: boolean }) =>
  (real: FileSystem.FileSystem): FileSystem.FileSystem => ({
    ...real,
    open: (path, options) =>
      Effect.map(real.open(path, options), (file) => {
        let refused = false
        const write = (bytes: Uint8Array): Effect.Effect<FileSystem.Size, PlatformError> => {
          if (!disk.full) return file.write(bytes)
          if (refused || bytes.length < 10) return noSpace
          refused = true
          return file.write(bytes.subarray(0, 10))
        }
        return new Proxy(file, {
          get: (target, key) => (key === "write" ? write : Reflect.get(target, key, target))
        })
      })
  })

const noSpace = Effect.fail(
  new SystemError({
    reason: "Unknown",
    module: "FileSystem",
    method: "write",
    description: "ENOSPC: no space left on device, write"
  })
)

const entries = (file: string | undefined): ReadonlyArray<unknown> =>
  (file ?? "").split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]))

const messages = (file: string | undefined): ReadonlyArray<unknown> =>
  entries(file).map((entry) =>
    typeof entry === "object" && entry !== null && "message" in entry ? entry.message : undefined
  )
