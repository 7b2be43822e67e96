import { Schema } from "effect"
import { WebSocket } from "ws"
import { makeReceiveClock } from "../../../src/exchange/ReceiveClock.ts"
import { endWithParent, readArgument } from "./channel.ts"
import { insertStatement, openDatabase } from "./schema.ts"

/**
 * The loop that one would write first, on one thread: a `ws` client, JSON.parse, and a prepared insert in transactions of
 * 5,000 rows, or of what there is every 5 seconds.
 */
const Options = Schema.Struct({
  url: Schema.String,
  database: Schema.String,
  streams: Schema.Array(Schema.String)
})

const options = Schema.decodeUnknownSync(Options)(readArgument())
const clock = makeReceiveClock({
  wall: () => Date.now() * 1000,
  monotonic: () => performance.now() * 1000
})
const database = openDatabase(options.database)
const insert = database.prepare(insertStatement)
const rowsPerTransaction = 5_000

/** What it takes for granted of a frame; an answer has no stream. */
interface Frame {
  readonly stream?: string
  readonly data: {
    readonly lastUpdateId: number
    readonly e?: string
    readonly t: number
    readonly T: number
  }
}

type Row = [string, string, string, string, number, number | null, string]
let rows: Array<Row> = []

const insertAll = database.transaction((rows: ReadonlyArray<Row>) => {
  for (const row of rows) insert.run(...row)
})
const commit = (): void => {
  const batch = rows
  rows = []
  insertAll(batch)
}

const onMessage = (text: string): void => {
  const timestamp = clock.unsafeNow()
  const { data, stream }: Frame = JSON.parse(text)
  if (stream === undefined) return
  const symbol = stream.slice(0, stream.indexOf("@"))
  const payload = text.slice(text.indexOf('"data":') + 7, -1)
  rows.push(
    data.e === "trade"
      ? ["binance", symbol, "trade", String(data.t), timestamp, data.T, payload]
      : ["binance", symbol, "orderbook", String(data.lastUpdateId), timestamp, null, payload]
  )
  if (rows.length === rowsPerTransaction) commit()
}

endWithParent()
const socket = new WebSocket(options.url, { perMessageDeflate: false })
socket.on("open", () => socket.send(JSON.stringify({ method: "SUBSCRIBE", params: options.streams, id: 1 })))
socket.on("message", (data) => onMessage(data.toString()))
setInterval(commit, 5_000)
process.once("SIGTERM", () => {
  commit()
  database.close()
  process.exit(0)
})
