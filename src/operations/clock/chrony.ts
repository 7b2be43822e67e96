import { randomInt } from "node:crypto"
import { createSocket } from "node:dgram"
import { Effect, Option } from "effect"

/** A time daemon's estimate of this machine's wall clock. Seconds. */
export interface ClockEstimate {
  /** How far the clock is ahead of the true time. */
  readonly offset: number
  /** The error bound of the offset. */
  readonly bound: number
}

/**
 * Asks a chronyd on this machine for its estimate, as `chronyc tracking` does: the request TRACKING of its command protocol,
 * version 6, over UDP (chrony 4.3, candm.h; tried on a chronyd of that version). None if there is no answer within a second, or
 * while the daemon has no source.
 */
export const askChrony = (port = commandPort): Effect.Effect<Option.Option<ClockEstimate>> =>
  Effect.acquireUseRelease(
    Effect.sync(() => createSocket("udp4")),
    (socket) =>
      Effect.async<Option.Option<ClockEstimate>>((resume) => {
        const sequence = randomInt(maxSequence)
        socket.once("error", () => resume(Effect.succeedNone))
        socket.on("message", (reply) => {
          if (reply.length >= replyLength && reply.readUInt32BE(16) === sequence) {
            resume(Effect.succeed(readTracking(reply)))
          }
        })
        // Connected, so that a port without a listener is an error at once.
        socket.connect(port, "127.0.0.1", () => socket.send(trackingRequest(sequence), () => {}))
      }),
    (socket) => Effect.sync(() => socket.close())
  ).pipe(Effect.timeoutOption("1 second"), Effect.map(Option.flatten))

const maxSequence = 2 ** 32

const commandPort = 323
const version = 6
const request = 1
const reply = 2
const tracking = 33
const trackingReply = 5
/** A request is as long as its reply, so that nobody receives more than was sent. */
const replyLength = 104
const notSynchronised = 3

const trackingRequest = (sequence: number): Buffer => {
  const frame = Buffer.alloc(replyLength)
  frame[0] = version
  frame[1] = request
  frame.writeUInt16BE(tracking, 4)
  frame.writeUInt32BE(sequence, 8)
  return frame
}

/** Reads the estimate from a reply to TRACKING; none if it is a different reply, or the daemon has no estimate. */
export const readTracking = (frame: Buffer): Option.Option<ClockEstimate> => {
  const isTracking =
    frame.length >= replyLength &&
    frame[0] === version &&
    frame[1] === reply &&
    frame.readUInt16BE(6) === trackingReply &&
    frame.readUInt16BE(8) === 0
  if (!isTracking || frame.readUInt16BE(54) === notSynchronised) return Option.none()
  // What must be added to the clock.
  const correction = floatAt(frame, 68)
  return Option.some({
    offset: correction === 0 ? 0 : -correction,
    bound: floatAt(frame, 92) / 2 + floatAt(frame, 96)
  })
}

/** chrony's own floating point: 7 bits of exponent, 25 of coefficient, both signed. */
const floatAt = (frame: Buffer, at: number): number => {
  const bits = frame.readInt32BE(at)
  const exponent = bits >> 25
  const coefficient = (bits << 7) >> 7
  return coefficient * 2 ** (exponent - 25)
}
