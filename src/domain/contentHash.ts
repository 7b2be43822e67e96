import { crc32 } from "node:zlib"

/**
 * Hashes what a message says, unsigned 32 bits: two messages of a stream with the same id and the same hash are the same message,
 * sent twice. Members that an exchange rewrites when it sends a message again or over another connection, and that say nothing
 * about the market, are left out.
 */
export const contentHash = (exchange: string, data: Uint8Array): number => {
  const members = writtenAnew.get(exchange)
  if (members === undefined) return crc32(data)
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  let hash = 0
  let from = 0
  for (const { end, start } of members.flatMap((member) => spanOf(text, member)).sort(byStart)) {
    hash = crc32(text.subarray(from, start), hash)
    from = end
  }
  return crc32(text.subarray(from), hash)
}

/** Makes the id of a different message that came under an id already in use. */
export const idOfReuse = (id: string, hash: number): string => `${id}~${hash.toString(16).padStart(8, "0")}`

interface Span {
  readonly start: number
  readonly end: number
}

const byStart = (a: Span, b: Span) => a.start - b.start

/** Finds the value of the first member of this name: a number, or a text without commas and braces. */
const spanOf = (text: Buffer, member: Buffer): ReadonlyArray<Span> => {
  const at = text.indexOf(member)
  if (at < 0) return []
  const start = at + member.length
  let end = start
  while (end < text.length && text[end] !== comma && text[end] !== brace) end++
  return [{ start, end }]
}

const comma = 0x2c
const brace = 0x7d

/**
 * The members left out, by exchange; only the first member of each name in a message counts. Binance: `E`, when a frame was sent.
 * Bybit: `ts`, the same. Coinbase: the envelope's `timestamp` and `sequence_num`, and `type`: the trades at the start of a
 * subscription are a snapshot. Kraken: `type`, for the same reason. Upbit: `stream_type` and `timestamp`: the last trade is sent
 * again as SNAPSHOT.
 */
const writtenAnew: ReadonlyMap<string, ReadonlyArray<Buffer>> = new Map(
  Object.entries({
    binance: ["E"],
    binance_usdm: ["E"],
    binance_coinm: ["E"],
    bybit: ["ts"],
    bybit_linear: ["ts"],
    bybit_inverse: ["ts"],
    coinbase: ["timestamp", "sequence_num", "type"],
    kraken: ["type"],
    upbit: ["stream_type", "timestamp"]
  }).map(([exchange, members]) => [exchange, members.map((name) => Buffer.from(`"${name}":`))])
)
