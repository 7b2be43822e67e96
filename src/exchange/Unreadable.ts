import { isUtf8 } from "node:buffer"
import { Duration } from "effect"
import type { StreamId } from "../domain/StreamId.ts"
import type { Allowance } from "./Allowance.ts"
import type { ConnectionContext } from "./Connection/ConnectionContext.ts"
import type { Unreadable as UnreadableFrame } from "./decoding/frames.ts"
import { type TrackedStream, timeOf } from "./TrackedStream.ts"
import type { UnreadableTime } from "./UnreadableTime.ts"

/** The frames of a connection that cannot be read. */
export interface Unreadable {
  /**
   * Keeps a frame as it came, as far as the allowance goes, and tells that its stream is in doubt, or all are whose frame it
   * may be. Returns whether it is kept. `lastFrameAt` is the stamp of the frame before, NaN if there was none.
   */
  readonly add: (
    frame: UnreadableFrame,
    stream: TrackedStream | undefined,
    bytes: Buffer,
    now: number,
    lastFrameAt: number
  ) => boolean
  /** A frame was read. */
  readonly onRead: (now: number) => void
  /** A message of a stream that is in doubt was read. */
  readonly onMessage: (stream: TrackedStream, now: number) => void
  /** To be called once a second: ends what is over. */
  readonly tick: () => void
  /** The stream leaves the connection, or this ends: unless it is over, only a message of its own ends its doubt now. */
  readonly leave: (stream: TrackedStream) => void
}

/**
 * A stream is in doubt from what was read before a frame that cannot be read to what is read after it: to its own next
 * message, or, where the frame named no stream and the own one is long in coming, to the next frame of the connection. So that
 * frames of which every other one can be read are one time and not thousands, it is over only after some seconds without
 * another one; the next time within an hour after twice as many.
 */
export const makeUnreadable = (options: {
  readonly context: Pick<ConnectionContext, "emit" | "offer" | "unreadableOf">
  readonly connection: string
  readonly allowance: Allowance
  readonly monotonicMillis: () => number
  /** Those of the connection that the exchange has taken. */
  readonly streams: () => Iterable<TrackedStream>
}): Unreadable => {
  const { allowance, connection, monotonicMillis } = options
  const { emit, offer, unreadableOf } = options.context
  /** Frames that may be of any stream, since they came last. */
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

  /** The time that has begun for the stream, or begins now. */
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
        // The message before is that of a stream that has one now and then, else the frame before.
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

  /** Whether a message of its own was read after the last frame that may be of any stream. */
  const isReadSinceAny = ({ readAfter, readAt }: UnreadableTime) =>
    !Number.isNaN(readAt) && (anybodys === null || readAfter === anybodys.frames)

  /** Whether something was read after the last frame of its own that could not be. */
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
          // It came to the connection meanwhile.
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

/** Frames that may be of any stream of their connection. */
interface AnybodysFrames {
  /** Of the first one. */
  readonly reason: UnreadableFrame["reason"]
  /** The stamp of the last one, and monotonic milliseconds. */
  at: number
  millis: number
  /** The stamp of the first message of the connection after the last one, NaN before it. */
  readAt: number
  frames: number
  kept: number
}

/** Whether frames of the stream itself came within the last seconds, that cannot be read. */
export const isTalking = (
  { unreadable }: TrackedStream,
  millis: number,
  within: Duration.Duration
): boolean => unreadable !== null && millis - unreadable.ownMillis < Duration.toMillis(within)

/** The symbol of frames that may be of any stream. */
const anySymbol = "*"

/** How long it has to be calm until it is over, and when it was over last; monotonic milliseconds. */
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

/** A stream whose last message is older is a quiet one. */
const livelyMicros = 60_000_000
