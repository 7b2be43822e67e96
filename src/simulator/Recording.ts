import { createWriteStream } from "node:fs"
import { Data, Effect, type Scope } from "effect"
import { ResourceUnavailable } from "../domain/StartupError.ts"

/**
 * A file of the messages sent: one JSON line `{"stream":"..","id":"..","text":"<payload without envelope>"}` for every message
 * that went to at least one connection, once, in the order of sending.
 */
export interface Recording {
  /** Adds a message, the first `length` bytes of `bytes`. */
  readonly append: (stream: string, id: string, bytes: Buffer, length: number) => void
  /** Whether the disk lags behind so far that the market should wait. */
  readonly isClogged: () => boolean
  /** Writes everything added so far; the callback gets the reason if this or any earlier write failed. */
  readonly flush: (done: (failure: string | null) => void) => void
}

/** The record could not be written and is incomplete from here on. */
export class RecordFailed extends Data.TaggedError("RecordFailed")<{ readonly reason: string }> {
  override get message() {
    return `record of the simulator: ${this.reason}`
  }
}

/** Records nothing. */
export const noRecording: Recording = {
  append: () => {},
  isClogged: () => false,
  flush: (done) => done(null)
}

/** Opens the file, overwriting it, and completes it when the scope closes. Calls `onWritten` when the disk has caught up. */
export const makeRecording = (
  path: string,
  onWritten: () => void
): Effect.Effect<Recording, ResourceUnavailable, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(open(path), (file) =>
      Effect.async<void>((resume) => {
        file.record.flush(() => file.stream.end(() => resume(Effect.void)))
      }).pipe(Effect.interruptible, Effect.timeoutOption("1 second"))
    ),
    (file) => {
      file.stream.on("drain", onWritten)
      return file.record
    }
  )

const open = (path: string) =>
  Effect.async<ReturnType<typeof recordOn>, ResourceUnavailable>((resume) => {
    const file = recordOn(path)
    file.stream.once("open", () => resume(Effect.succeed(file)))
    file.stream.once("error", (error) =>
      resume(new ResourceUnavailable({ reason: `cannot write the record ${path}: ${error.message}` }))
    )
  })

const pendingChars = 256 * 1024
const maxBacklogBytes = 32 * 1024 * 1024

const recordOn = (path: string) => {
  const stream = createWriteStream(path)
  const heads = new Map<string, string>()
  let pending = ""
  let failure: string | null = null
  stream.on("error", (error) => {
    failure = error.message
  })

  const headOf = (name: string): string => {
    const known = heads.get(name)
    if (known !== undefined) return known
    const head = `{"stream":${JSON.stringify(name)},"id":`
    heads.set(name, head)
    return head
  }
  const write = (): void => {
    if (failure === null) stream.write(pending)
    pending = ""
  }
  const record: Recording = {
    append: (name, id, bytes, length) => {
      const text = JSON.stringify(bytes.toString("utf8", 0, length))
      pending += `${headOf(name)}${JSON.stringify(id)},"text":${text}}\n`
      if (pending.length > pendingChars) write()
    },
    isClogged: () => stream.writableLength > maxBacklogBytes,
    flush: (done) => {
      write()
      if (failure !== null) return done(failure)
      stream.write("", (error) => done(failure ?? error?.message ?? null))
    }
  }
  return { stream, record }
}
