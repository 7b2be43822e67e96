import { Schema } from "effect"
import { WebSocket } from "ws"
import { makeReceiveClock } from "../../../src/exchange/ReceiveClock.ts"
import { endWithParent, readArgument, tell } from "./channel.ts"

/** A `ws` client that stores nothing: stamps every frame, and keeps how long that was after it was sent. */
const Options = Schema.Struct({
  url: Schema.String,
  streams: Schema.Array(Schema.String),
  warmUp: Schema.Number
})

const options = Schema.decodeUnknownSync(Options)(readArgument())
const clock = makeReceiveClock({
  wall: () => Date.now() * 1000,
  monotonic: () => performance.now() * 1000
})
const delays: Array<number> = []
let begin = 0

endWithParent()
const socket = new WebSocket(options.url, { perMessageDeflate: false })
socket.on("open", () => socket.send(JSON.stringify({ method: "SUBSCRIBE", params: options.streams, id: 1 })))
socket.on("message", (data) => {
  const now = clock.unsafeNow()
  if (!Buffer.isBuffer(data)) return
  const at = data.indexOf('"T":')
  if (at < 0) return
  if (begin === 0) begin = now
  if (now - begin < options.warmUp * 1e6) return
  delays.push(now - Number(data.toString("latin1", at + 4, at + 20)))
})
process.once("message", () => tell({ delays }))
