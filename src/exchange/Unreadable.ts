import { isUtf8 } from "node:buffer"
import { Duration } from "effect"
import type { StreamId } from "../domain/StreamId.ts"
import type { Allowance } from "./Allowance.ts"
import type { ConnectionContext } from "./Connection/ConnectionContext.ts"
import type { Unreadable as UnreadableFrame } from "./decoding/frames.ts"
import { type TrackedStream, timeOf } from "./TrackedStream.ts"
import type { UnreadableTime } from "./UnreadableTime.ts"

/** The unreadable frames of a connection. */
export interface Unreadable {
  /**
   * Keeps a frame as received, within the allowance, and reports its stream as in doubt, or all streams that it can belong to.
   * Returns whether it is kept. `lastFrameAt` is the stamp of the previous frame, NaN if there was none.
   */
  readonly add: (
    frame: UnreadableFrame,
    stream: TrackedStream | undefined,
    bytes: Buffer,
    now: number,
    lastFrameAt: number
  ) => boolean
  /** Called when a frame was read. */
  readonly onRead: (now: number) => void
  /** Called when a message of a stream in doubt was read. */
  readonly onMessage: (stream: TrackedStream, now: number) => void
  /** Called once a second: ends the periods of doubt that are over. */
  readonly tick: () => void
  /**
   * Called when the stream leaves the connection, or the connection ends. Unless the doubt is over, only a message of the
   * stream's own ends it from now on.
   */
  readonly leave: (stream: TrackedStream) => void
}

/**
 * Keeps track of the unreadable frames of a connection.
 *
 * A stream is in doubt from what was read before an unreadable frame to what is read after it: its own next message or, if the
 * frame named no stream and the stream's own message is long in coming, the next frame of the connection. The doubt ends only
 * after some seconds without another unreadable frame, so that frames of which every other one can be read make one period and
 * not thousands; the next time within an hour it takes twice as many seconds.
 */
export const makeUnreadable = (options: {
  readonly context: Pick<ConnectionContext, "emit" | "offer" | "unreadableOf">
  readonly connection: string
  readonly allowance: Allowance
  readonly monotonicMillis: () => number
  /** The streams of the connection that the exchange accepted. */
  readonly streams: () => Iterable<TrackedStream>
}): Unreadable => {
  const { allowance, connection, monotonicMillis } = options
  const { emit, offer, unreadableOf } = options.context
  /** Frames that can belong to any stream, since the current series of them started. */
  let anybodys: AnybodysFrames | null = null
  const calm: Calm = { unreadableCalm: 0, unreadableEndedAt: Number.NEGATIVE_INFINITY }
  let count = 0

  const keep = (of: StreamId, bytes: Buffer, now: number): boolean => {
    if (!allowance.take(bytes.length, monotonicMillis())) return false
    const isText = isUtf8(bytes) && !bytes.includes(0)
    offer({
      stream: of,
      exchangeSequenceId: `${connection}-${++count}${isText ? "" : "-base64"}`,
      timestamp: now,
      exchangeTimestamp: null,
      data: isText ? bytes : Buffer.from(bytes.toString("base64"))
    })
    return true
  }

  /** Returns the stream's current period of doubt, or starts one. */
  const begin = (
    stream: TrackedStream,
    reason: UnreadableFrame["reason"],
    now: number,
    after: number,
    of: string | null
  ): UnreadableTime => {
    if (stream.unreadable !== null) return stream.unreadable
    const time: UnreadableTime = {
      ownMillis: Number.NEGATIVE_INFINITY,
      readAt: Number.NaN,
      readAfter: 0,
      after,
      connection: of,
      frames: 0,
      kept: 0
    }
    stream.unreadable = time
    stream.state = "unreadable"
    emit({ _tag: "StreamUnreadable", at: now, stream: stream.id, reason, after: timeOf(after) })
    return time
  }

  const add: Unreadable["add"] = (frame, stream, bytes, now, lastFrameAt) => {
    const isKept = keep(unreadableOf(stream?.id.symbol ?? anySymbol), bytes, now)
    const millis = monotonicMillis()
    if (stream !== undefined) {
      if (stream.unreadable === null) startCalm(stream, millis)
      const after = Number.isNaN(stream.lastMessageAt) ? lastFrameAt : stream.lastMessageAt
      const time = begin(stream, frame.reason, now, after, null)
      time.ownMillis = millis
      time.readAt = Number.NaN
      time.frames++
      if (isKept) time.kept++
      return isKept
    }
    if (anybodys === null) {
      startCalm(calm, millis)
      anybodys = { reason: frame.reason, at: now, millis, readAt: Number.NaN, frames: 0, kept: 0 }
      for (const each of options.streams()) {
        // For a stream that has a message now and then, the one before is its own, otherwise it is the previous frame.
        const isLively = now - each.lastMessageAt < livelyMicros
        begin(each, frame.reason, now, isLively ? each.lastMessageAt : lastFrameAt, connection)
      }
    }
    anybodys.at = now
    anybodys.millis = millis
    anybodys.readAt = Number.NaN
    anybodys.frames++
    if (isKept) anybodys.kept++
    return isKept
  }

  const end = (stream: TrackedStream, time: UnreadableTime): void => {
    const { after, frames, kept, readAt } = time
    const at = isReadSinceAny(time) ? readAt : (anybodys?.readAt ?? readAt)
    stream.unreadable = null
    stream.unreadableEndedAt = monotonicMillis()
    if (stream.state === "unreadable") stream.state = stream.watch.live ? "live" : "subscribed"
    emit({
      _tag: "StreamReadable",
      at,
      stream: stream.id,
      frames: frames + (anybodys?.frames ?? 0),
      kept: kept + (anybodys?.kept ?? 0),
      after: timeOf(after)
    })
  }

  const isOfAnother = (time: UnreadableTime) => time.connection !== null && time.connection !== connection

  /** Whether a message of the stream's own was read after the last frame that can belong to any stream. */
  const isReadSinceAny = ({ readAfter, readAt }: UnreadableTime) =>
    !Number.isNaN(readAt) && (anybodys === null || readAfter === anybodys.frames)

  /** Whether something was read after the last unreadable frame of the stream's own. */
  const isRead = ({ connection, ownMillis, readAt }: UnreadableTime) =>
    !Number.isNaN(readAt) || (connection !== null && ownMillis === Number.NEGATIVE_INFINITY)

  const isAnyRead = () => anybodys === null || !Number.isNaN(anybodys.readAt)

  return {
    add,
    onRead: (now) => {
      if (anybodys !== null && Number.isNaN(anybodys.readAt)) anybodys.readAt = now
    },
    onMessage: (stream, now) => {
      const time = stream.unreadable
      if (time === null) return
      stream.state = "unreadable"
      if (isReadSinceAny(time)) return
      time.readAt = now
      time.readAfter = anybodys?.frames ?? 0
    },
    tick: () => {
      const millis = monotonicMillis()
      const last = anybodys
      const goesOn = last !== null && !(isAnyRead() && millis - last.millis >= calm.unreadableCalm)
      for (const stream of options.streams()) {
        const time = stream.unreadable
        if (time === null) {
          // The stream joined the connection in the meantime.
          if (goesOn) begin(stream, last.reason, last.at, last.at, connection)
        } else if (
          !goesOn &&
          !isOfAnother(time) &&
          isRead(time) &&
          millis - time.ownMillis >= stream.unreadableCalm
        ) {
          end(stream, time)
        }
      }
      if (last === null || goesOn) return
      anybodys = null
      calm.unreadableEndedAt = millis
    },
    leave: (stream) => {
      const time = stream.unreadable
      if (time === null || isOfAnother(time)) return
      if (isRead(time) && isAnyRead()) {
        end(stream, time)
      } else if (anybodys !== null) {
        stream.unreadable = {
          ...time,
          ownMillis: Math.max(time.ownMillis, anybodys.millis),
          readAt: Number.NaN,
          connection: null,
          frames: time.frames + anybodys.frames,
          kept: time.kept + anybodys.kept
        }
      }
    }
  }
}

/** Frames that can belong to any stream of their connection. */
interface AnybodysFrames {
  /** The reason of the first frame. */
  readonly reason: UnreadableFrame["reason"]
  /** The stamp of the last frame, and its time in monotonic milliseconds. */
  at: number
  millis: number
  /** The stamp of the first message on the connection after the last frame; NaN if there is none yet. */
  readAt: number
  frames: number
  kept: number
}

/** Whether unreadable frames of the stream itself arrived within the given time. */
export const isTalking = (
  { unreadable }: TrackedStream,
  millis: number,
  within: Duration.Duration
): boolean => unreadable !== null && millis - unreadable.ownMillis < Duration.toMillis(within)

/** The symbol for frames that can belong to any stream. */
const anySymbol = "*"

/** How long it must be calm until the doubt ends, and when it last ended; monotonic milliseconds. */
interface Calm {
  unreadableCalm: number
  unreadableEndedAt: number
}

const startCalm = (of: Calm, millis: number): void => {
  of.unreadableCalm =
    millis - of.unreadableEndedAt < memoryMillis
      ? Math.min(Math.max(2 * of.unreadableCalm, firstCalmMillis), maxCalmMillis)
      : firstCalmMillis
}

const firstCalmMillis = 5000
const maxCalmMillis = 300_000
const memoryMillis = 3_600_000

/** A stream whose last message is older is quiet. */
const livelyMicros = 60_000_000
