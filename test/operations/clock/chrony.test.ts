import { createSocket } from "node:dgram"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { askChrony, readTracking } from "../../../src/operations/clock/chrony.ts"

/** What a chronyd 4.3 answered, with a local clock as its only source. */
const recorded = Buffer.from(
  `0602000000210005000000000000000000003039${"00".repeat(8)}7f7f0101${"00".repeat(20)}00080000` +
    `000000006b09ac012be0d04b${"00".repeat(36)}`,
  "hex"
)

/** A number in chrony's floating point, with as many bits of its coefficient as it has. */
const chronyFloat = (value: number): number => {
  const exponent = value === 0 ? 0 : Math.ceil(Math.log2(Math.abs(value))) + 1
  return (exponent << 25) | (Math.round(value * 2 ** (25 - exponent)) & 0x1ffffff) | 0
}

const replyWith = (values: { correction: number; delay: number; dispersion: number; leap?: number }) => {
  const reply = Buffer.from(recorded)
  reply.writeUInt16BE(values.leap ?? 0, 54)
  reply.writeInt32BE(chronyFloat(values.correction), 68)
  reply.writeInt32BE(chronyFloat(values.delay), 92)
  reply.writeInt32BE(chronyFloat(values.dispersion), 96)
  return reply
}

/** Answers requests on a port of loopback, each with the sequence number that it came with. */
const daemon = (reply: Buffer) =>
  Effect.acquireRelease(
    Effect.async<{ readonly port: number; readonly close: () => void; readonly lengths: Array<number> }>(
      (resume) => {
        const socket = createSocket("udp4")
        const lengths: Array<number> = []
        socket.on("message", (request, { address, port }) => {
          lengths.push(request.length)
          const answer = Buffer.from(reply)
          request.copy(answer, 16, 8, 12)
          socket.send(answer, port, address)
        })
        socket.bind(0, "127.0.0.1", () =>
          resume(Effect.succeed({ port: socket.address().port, close: () => socket.close(), lengths }))
        )
      }
    ),
    ({ close }) => Effect.sync(close)
  )

describe("a time daemon's estimate", () => {
  it("is read from a recorded reply", () => {
    expect(readTracking(recorded)).toEqual(Option.some({ offset: 0, bound: 0 }))
  })

  it.scopedLive("is requested over UDP: a clock that must be set forward is behind", () =>
    Effect.gen(function* () {
      const { lengths, port } = yield* daemon(
        replyWith({ correction: 0.0123, delay: 0.03, dispersion: 0.002 })
      )
      const estimate = Option.getOrThrow(yield* askChrony(port))
      expect(estimate.offset).toBeCloseTo(-0.0123, 6)
      expect(estimate.bound).toBeCloseTo(0.017, 6)
      expect(lengths).toEqual([recorded.length])
    })
  )

  it.scopedLive("is none while the daemon has no source, replies otherwise, or does not listen", () =>
    Effect.gen(function* () {
      const unsynchronised = yield* daemon(replyWith({ correction: 1, delay: 0, dispersion: 0, leap: 3 }))
      expect(yield* askChrony(unsynchronised.port)).toEqual(Option.none())
      const short = yield* daemon(recorded.subarray(0, 60))
      expect(yield* askChrony(short.port)).toEqual(Option.none())
      const refused = Buffer.from(recorded)
      refused.writeUInt16BE(2, 8)
      const refusing = yield* daemon(refused)
      expect(yield* askChrony(refusing.port)).toEqual(Option.none())
      const gone = yield* Effect.scoped(daemon(recorded))
      expect(yield* askChrony(gone.port)).toEqual(Option.none())
    })
  )
})
