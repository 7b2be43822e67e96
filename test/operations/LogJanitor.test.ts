import { join } from "node:path"
import { FileSystem } from "@effect/platform"
import { SystemError } from "@effect/platform/Error"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { describe, expect, it } from "@effect/vitest"
import { Context, Duration, Effect, HashMap, Layer, Logger, TestClock, TestServices } from "effect"
import { LogJanitor } from "../../src/operations/LogJanitor.ts"
import { asleep } from "../support/asleep.ts"

describe("LogJanitor", () => {
  it.scoped("deletes our old log files and nothing else", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* logDirectory
      yield* makeFiles(directory, {
        "collector.log.2026-03-01": 72,
        "collector.log.2026-03-02": 25,
        "collector.log.2026-03-03": 23,
        "collector.log.2026-03-04": 96,
        "collector.log.2026-02-30": 96,
        "collector.log.2026-03-01.gz": 96,
        "my-collector.log.2026-03-01": 96,
        "collector.log.": 96,
        "notes.txt": 96
      })
      yield* fs.makeDirectory(join(directory, "collector.log.2026-01-01"))
      yield* fs.utimes(join(directory, "collector.log.2026-01-01"), 0, 0)
      yield* fs.symlink(
        join(directory, "collector.log.2026-03-01"),
        join(directory, "collector.log.2026-01-02")
      )
      const { lines, logger } = recorder()
      yield* sweepOnce(directory).pipe(Effect.provide(logger))
      expect((yield* fs.readDirectory(directory)).sort()).toEqual([
        "collector.log.",
        "collector.log.2026-01-01",
        "collector.log.2026-01-02",
        "collector.log.2026-02-30",
        "collector.log.2026-03-01.gz",
        "collector.log.2026-03-03",
        "collector.log.2026-03-04",
        "my-collector.log.2026-03-01",
        "notes.txt"
      ])
      expect(lines).toEqual([
        "INFO deleted log file age=3d file=collector.log.2026-03-01 module=operations",
        "INFO deleted log file age=1d 1h file=collector.log.2026-03-02 module=operations"
      ])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.scoped("sweeps at the start and every 24 hours", () =>
    Effect.gen(function* () {
      const directory = yield* logDirectory
      const { lines, logger } = recorder()
      yield* Effect.gen(function* () {
        yield* makeFiles(directory, { "collector.log.2026-03-01": 72 })
        yield* Layer.build(layer(directory))
        yield* until(() => lines.length === 1)
        yield* makeFiles(directory, { "collector.log.2026-03-02": 48 })
        yield* asleep
        yield* TestClock.adjust("23 hours")
        yield* settle
        expect(lines).toHaveLength(1)
        yield* TestClock.adjust("1 hour")
        yield* until(() => lines.length === 2)
        expect(lines[1]).toContain("collector.log.2026-03-02")
      }).pipe(Effect.provide(logger))
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.scoped("warns about what it cannot delete, and continues", () =>
    Effect.gen(function* () {
      const real = yield* FileSystem.FileSystem
      const directory = yield* logDirectory
      yield* makeFiles(directory, { "collector.log.2026-03-01": 72, "collector.log.2026-03-02": 72 })
      const { lines, logger } = recorder()
      yield* sweepOnce(directory).pipe(
        Effect.provide(logger),
        Effect.provideService(FileSystem.FileSystem, {
          ...real,
          remove: (path) =>
            path.endsWith("01")
              ? new SystemError({
                  reason: "PermissionDenied",
                  module: "FileSystem",
                  method: "remove",
                  description: `EACCES: permission denied, rm '${path}'`
                })
              : real.remove(path)
        })
      )
      expect(lines).toEqual([
        "WARN a log file cannot be deleted file=collector.log.2026-03-01 module=operations reason=permission denied",
        "INFO deleted log file age=3d file=collector.log.2026-03-02 module=operations"
      ])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.scoped("warns about a directory that it cannot read", () =>
    Effect.gen(function* () {
      const { lines, logger } = recorder()
      yield* sweepOnce("/nowhere/logs").pipe(Effect.provide(logger))
      expect(lines).toEqual([
        "WARN the log directory cannot be read directory=/nowhere/logs module=operations reason=no such file or directory"
      ])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})

const now = Date.parse("2026-03-04T12:00:00Z")

const layer = (directory: string) => LogJanitor.layer({ directory, retention: Duration.days(1) })

/** A sweep at call, by a janitor whose own first sweep was let pass before there was anything to find. */
const sweepOnce = (directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    let calls = 0
    const blindAtFirst = {
      ...fs,
      readDirectory: (path: string) =>
        Effect.suspend(() => (calls++ === 0 ? Effect.succeed([]) : fs.readDirectory(path)))
    }
    const context = yield* Layer.build(layer(directory)).pipe(
      Effect.provideService(FileSystem.FileSystem, blindAtFirst)
    )
    yield* until(() => calls === 1)
    yield* Context.get(context, LogJanitor).sweep
  })

const logDirectory = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  yield* TestClock.setTime(now)
  return yield* fs.makeTempDirectoryScoped()
})

/** Files by name, modified this many hours ago. */
const makeFiles = (directory: string, files: Record<string, number>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* Effect.forEach(Object.entries(files), ([name, hours]) =>
      Effect.gen(function* () {
        const modified = (now - hours * 3_600_000) / 1000
        yield* fs.writeFileString(join(directory, name), "x")
        yield* fs.utimes(join(directory, name), modified, modified)
      })
    )
  })

const settle = TestServices.provideLive(Effect.sleep("50 millis"))

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() =>
    condition()
      ? Effect.void
      : Effect.zipRight(TestServices.provideLive(Effect.sleep("2 millis")), until(condition))
  )

const recorder = () => {
  const lines: Array<string> = []
  const logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ annotations, logLevel, message }) => {
      const fields = HashMap.toEntries(annotations).map(([name, value]) => `${name}=${value}`)
      lines.push([logLevel.label, message, ...fields.sort()].join(" "))
    })
  )
  return { lines, logger }
}
