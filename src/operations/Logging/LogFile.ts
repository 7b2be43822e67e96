import { join } from "node:path"
import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Clock, Effect, Either, type Scope } from "effect"
import { quote } from "../../domain/quote.ts"
import { ResourceUnavailable } from "../../domain/StartupError.ts"
import { fileSystemReason } from "../fileSystemReason.ts"
import { dateOfMillis, logFileName } from "../logFileName.ts"
import type { LogEntry } from "./LogEntry.ts"
import { jsonLine } from "./lines.ts"

/**
 * A line including its line end, and when it was logged (milliseconds since the epoch), which decides which file it goes into.
 */
export interface Line {
  readonly time: number
  readonly line: string
}

/** The daily files of a directory. */
export interface LogFile {
  /** Accepts a line, to be written within a second. Never waits and never fails. */
  readonly append: (line: Line) => void
}

/**
 * Writes lines in batches and in order, at most a second after they came, and the rest when the scope closes.
 *
 * Each batch reopens the file for appending, so that a file or directory that was moved away is recreated, and so that several
 * threads can write whole lines to the same file. What cannot be written is kept and retried: up to `maxPending` characters,
 * then new lines are dropped and counted. `print` receives an entry when that starts and when it ends.
 */
export const makeLogFile = (options: {
  readonly directory: string
  readonly print: (entry: LogEntry) => void
}): Effect.Effect<LogFile, ResourceUnavailable, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { directory, print } = options
    const pathOf = (time: number) => join(directory, logFileName(dateOfMillis(time)))
    const pending: Array<Line> = []
    let pendingSize = 0
    let dropped = 0
    /** The file that is known to end with a line end: after a crash or a failed write it may not. */
    let sound: string | undefined
    let isFailing = false

    const append = (line: Line) => {
      if (pendingSize + line.line.length > maxPending) {
        dropped++
        return
      }
      pendingSize += line.line.length
      pending.push(line)
    }

    const tell = (level: string, message: string, fields: LogEntry["fields"]) =>
      Effect.map(Clock.currentTimeMillis, (time): LogEntry => {
        const entry = {
          time,
          level,
          module: "operations",
          message,
          fields,
          cause: undefined,
          spans: [],
          trace: undefined
        }
        print(entry)
        return entry
      })

    const failed = (reason: string) => {
      sound = undefined
      if (isFailing) return Effect.void
      isFailing = true
      return tell("WARN", "log file cannot be written, log entries wait in memory", [
        ["directory", directory],
        ["reason", reason]
      ])
    }

    const recovered = Effect.suspend(() => {
      if (!isFailing && dropped === 0) return Effect.void
      const message = isFailing
        ? "log file is written again"
        : "log entries came faster than they could be written"
      const lost = dropped
      isFailing = false
      dropped = 0
      return Effect.map(tell("WARN", message, [["lost", lost]]), (entry) =>
        append({ time: entry.time, line: jsonLine(entry) })
      )
    })

    const open = (path: string) => fs.open(path, { flag: "a+" })

    const openAnew = (path: string) =>
      Effect.catchIf(
        open(path),
        (error) => error._tag === "SystemError" && error.reason === "NotFound",
        () => Effect.zipRight(fs.makeDirectory(directory, { recursive: true }), open(path))
      )

    /** Writes the oldest lines that go into the same file. Returns whether all of them were written. */
    const writeBatch = Effect.gen(function* () {
      const path = pathOf(pending[0]?.time ?? 0)
      const lines = sameFile(pending, (line) => pathOf(line.time) === path)
      const file = yield* openAnew(path)
      const isTorn = path !== sound && !(yield* endsWithLine(file))
      const result = yield* writeAll(file, lines, isTorn)
      for (const { line } of pending.splice(0, result.lines)) pendingSize -= line.length
      sound = path
      return yield* result.outcome
    }).pipe(Effect.scoped)

    const flush = Effect.gen(function* () {
      while (pending.length > 0) yield* writeBatch
      yield* recovered
    }).pipe(
      Effect.catchAll((error) => failed(fileSystemReason(error))),
      Effect.catchAllDefect((defect) => failed(String(defect))),
      Effect.uninterruptible
    )

    yield* fs.makeDirectory(directory, { recursive: true }).pipe(
      Effect.zipRight(Clock.currentTimeMillis),
      Effect.flatMap((now) => Effect.scoped(open(pathOf(now)))),
      Effect.mapError(
        (error) =>
          new ResourceUnavailable({
            reason: `LOG_DIR=${quote(directory)}: cannot be written: ${fileSystemReason(error)}`
          })
      )
    )
    yield* Effect.addFinalizer(() =>
      flush.pipe(
        Effect.zipRight(flush),
        Effect.zipRight(
          Effect.suspend(() =>
            pending.length + dropped === 0
              ? Effect.void
              : tell("ERROR", "log entries were not written to the log file", [
                  ["lost", pending.length + dropped]
                ])
          )
        )
      )
    )
    yield* Effect.sleep(flushInterval).pipe(
      Effect.zipRight(flush),
      Effect.forever,
      Effect.interruptible,
      Effect.forkScoped
    )
    return { append }
  })

const flushInterval = "500 millis"

/** Characters. */
const maxPending = 4_000_000

/** Characters per batch: large enough to be fast, small enough to be one write. */
const maxBatch = 256_000

/** Lines from the front that belong together and make a batch of a reasonable size. */
const sameFile = (
  pending: ReadonlyArray<Line>,
  belongs: (line: Line) => boolean
): ReadonlyArray<Uint8Array> => {
  const lines: Array<Uint8Array> = []
  let size = 0
  for (const line of pending) {
    if (size >= maxBatch || !belongs(line)) break
    size += line.line.length
    lines.push(Buffer.from(line.line))
  }
  return lines
}

const endsWithLine = (file: FileSystem.File): Effect.Effect<boolean, PlatformError> =>
  Effect.gen(function* () {
    const { size } = yield* file.stat
    if (size === 0n) return true
    yield* file.seek(FileSystem.Size(size - 1n), "start")
    const last = new Uint8Array(1)
    const read = yield* file.read(last)
    return read === 0n || last[0] === lineEnd[0]
  })

/** Writes everything, or returns how many whole lines were written before the failure. */
const writeAll = (file: FileSystem.File, lines: ReadonlyArray<Uint8Array>, isTorn: boolean) =>
  Effect.gen(function* () {
    const bytes = Buffer.concat(isTorn ? [lineEnd, ...lines] : lines)
    let written = 0
    let outcome: Either.Either<void, PlatformError> = Either.void
    while (written < bytes.length && Either.isRight(outcome)) {
      const size = yield* Effect.either(file.write(bytes.subarray(written)))
      outcome = Either.map(size, () => undefined)
      if (Either.isRight(size)) written += Number(size.right)
    }
    return { lines: wholeLines(lines, written - (isTorn ? lineEnd.length : 0)), outcome }
  })

const wholeLines = (lines: ReadonlyArray<Uint8Array>, bytes: number): number => {
  let left = bytes
  return lines.filter((line) => {
    left -= line.length
    return left >= 0
  }).length
}

const lineEnd = Buffer.from("\n")
