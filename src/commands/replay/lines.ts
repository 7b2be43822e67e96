import { isUtf8 } from "node:buffer"
import type { ExcludedWindow } from "../../domain/CoverageReport.ts"
import type { RecordedMessage, RecordedStream } from "../../reading/Recorded.ts"

/**
 * A line with a message as the exchange sent it: `{"exchange","symbol","type","localTimestamp","message"}`. A frame that could not
 * be read is a string; line breaks between the members of a message become spaces.
 */
export const messageLine = ({ data, stream, timestamp }: RecordedMessage): string =>
  `${beginOf(stream, timestamp)},"message":${payloadOf(stream, data)}}\n`

/** A line where a hole of a stream begins: `{"exchange","symbol","type","localTimestamp","hole":{"from","to","reasons"}}`. */
export const holeLine = (stream: RecordedStream, { from, reasons, to }: ExcludedWindow): string =>
  `${beginOf(stream, from)},"hole":${JSON.stringify({ from: isoMicros(from), to: isoMicros(to), reasons })}}\n`

const beginOf = ({ dataType, exchange, symbol }: RecordedStream, timestamp: number): string =>
  `{"exchange":${JSON.stringify(exchange)},"symbol":${JSON.stringify(symbol)},"type":${JSON.stringify(dataType)},"localTimestamp":"${isoMicros(timestamp)}"`

const payloadOf = ({ dataType }: RecordedStream, data: Uint8Array): string => {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const text = bytes.toString(isUtf8(bytes) ? "utf8" : "latin1")
  return dataType === "unreadable" ? JSON.stringify(text) : text.replace(/[\r\n]+/g, " ")
}

/** Writes a time with six digits of a second. */
const isoMicros = (micros: number): string => {
  const seconds = new Date(Math.floor(micros / 1000)).toISOString().slice(0, 19)
  return `${seconds}.${String(((micros % 1_000_000) + 1_000_000) % 1_000_000).padStart(6, "0")}Z`
}
