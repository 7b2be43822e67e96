import type { Duplex } from "node:stream"
import { Schema } from "effect"
import { type WebSocket, WebSocketServer } from "ws"
import { makeReceiveClock } from "../../../src/exchange/ReceiveClock.ts"
import { endWithParent, readArgument, tell } from "./channel.ts"

/**
 * An exchange that sends frames of one size as evenly as it can, in turn over all streams that were subscribed: for
 * measurements that need another pace, size or clock than the simulator has. Speaks Binance's combined streams.
 */
const Options = Schema.Struct({
  kind: Schema.Literal("orderbook", "trade"),
  /** Of a payload. */
  bytes: Schema.Int,
  /** Messages per second in all; 0 for as fast as they are taken. */
  rate: Schema.Number
})
export type SenderOptions = typeof Options.Type

/** Digits of ids and of times: both are patched in place. */
const digits = 16
const firstId = 1_000_000_000_000_000

interface Stream {
  /** A whole frame, header included. */
  readonly frame: Buffer
  /** Where the sequence id and the times stand. */
  readonly id: number
  readonly times: ReadonlyArray<number>
  next: number
}

const makeStream = (name: string, { bytes, kind }: SenderOptions): Stream => {
  const symbol = name.split("@")[0] ?? ""
  const number = "0".repeat(digits)
  const make = (padding: number) =>
    kind === "trade"
      ? `{"e":"trade","E":${number},"s":"${symbol.toUpperCase()}","t":${number},"p":"43210.01000000",` +
        `"q":"0.00100000","T":${number},"m":true,"M":true,"x":"${"0".repeat(padding)}"}`
      : `{"lastUpdateId":${number},"bids":[${levels(padding >> 1)}],"asks":[${levels(padding - (padding >> 1))}]}`
  const payload = `{"stream":"${name}","data":${make(Math.max(0, bytes - make(0).length))}}`
  const frame = Buffer.concat([textFrameHeader(payload.length), Buffer.from(payload, "latin1")])
  const behind = (key: string) => frame.indexOf(`"${key}":`) + key.length + 3
  return {
    frame,
    id: behind(kind === "trade" ? "t" : "lastUpdateId"),
    times: kind === "trade" ? [behind("E"), behind("T")] : [],
    next: firstId
  }
}

/** Of an unmasked text frame with up to 65,535 bytes (RFC 6455, section 5.2). */
const textFrameHeader = (length: number): Buffer =>
  length < 126 ? Buffer.from([0x81, length]) : Buffer.from([0x81, 126, length >> 8, length & 0xff])

/** Twenty levels with these many characters on top of the least that they need. */
const levels = (padding: number): string =>
  Array.from({ length: 20 }, (_, i) => {
    const share = Math.floor((padding * (i + 1)) / 20) - Math.floor((padding * i) / 20)
    return `["432${10 + i}.01","0.${1 + (i % 9)}${"0".repeat(share)}"]`
  }).join()

const writeNumber = (target: Buffer, at: number, value: number): void => {
  let rest = value
  for (let i = at + digits - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10)
    target[i] = 0x30 + (rest - tenth * 10)
    rest = tenth
  }
}

const options = Schema.decodeUnknownSync(Options)(readArgument())
const clock = makeReceiveClock({
  wall: () => Date.now() * 1000,
  monotonic: () => performance.now() * 1000
})
for (let i = 0; i < 5_000; i++) clock.unsafeNow()
const maxBacklog = 1024 * 1024
const framesPerWrite = 32
/** Frames differ in length by no more than their symbols do. */
const spareBytes = 64

const serve = (socket: WebSocket, transport: Duplex): void => {
  const streams: Array<Stream> = []
  let begin = 0
  let sent = 0
  let timer: NodeJS.Timeout | undefined

  /** The next frames of the streams in turn, one after the other. */
  const make = (count: number): Buffer => {
    const chunk = Buffer.allocUnsafe(count * ((streams[0]?.frame.length ?? 0) + spareBytes))
    let used = 0
    for (let i = 0; i < count; i++) {
      const stream = streams[sent++ % streams.length]
      if (stream === undefined) continue
      writeNumber(stream.frame, stream.id, stream.next++)
      const now = stream.times.length > 0 ? clock.unsafeNow() : 0
      for (const at of stream.times) writeNumber(stream.frame, at, now)
      used += stream.frame.copy(chunk, used)
    }
    return chunk.subarray(0, used)
  }

  /** Writes many frames at a time, past the library, which sends one by one; goes on when a write was taken. */
  const atFullSpeed = (error?: Error | null): void => {
    while (!error && transport.writableLength < maxBacklog) {
      transport.write(make(framesPerWrite), atFullSpeed)
    }
  }

  const atRate = (): void => {
    const due = Math.floor(((performance.now() - begin) * options.rate) / 1000) - sent
    if (due > 0 && transport.writableLength < maxBacklog) transport.write(make(due))
    timer = setTimeout(atRate, 1)
  }

  socket.on("message", (data) => {
    const request = decodeRequest(data.toString())
    const now = clock.unsafeNow()
    socket.send(JSON.stringify({ result: null, id: request.id }))
    streams.push(...request.params.map((name) => makeStream(name, options)))
    if (begin > 0) return
    begin = performance.now()
    tell({ subscribed: now })
    if (options.rate === 0) atFullSpeed()
    else atRate()
  })
  socket.on("close", () => clearTimeout(timer))
  socket.on("error", () => {})
}

const decodeRequest = Schema.decodeUnknownSync(
  Schema.parseJson(Schema.Struct({ params: Schema.Array(Schema.String), id: Schema.Unknown }))
)

endWithParent()
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false })
server.on("connection", (socket, request) => serve(socket, request.socket))
server.on("listening", () => {
  const address = server.address()
  tell({ port: address === null || typeof address === "string" ? 0 : address.port })
})
