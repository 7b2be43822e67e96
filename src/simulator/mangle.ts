import { gzipSync } from "node:zlib"

export const mangleKinds = ["retype", "drop", "swap", "gzip"] as const
/**
 * What an exchange might do to its frames from one day to the next: numbers become strings, and strings of digits numbers; the
 * members that number a message are removed; arrays become objects; the text is compressed.
 */
export type MangleKind = (typeof mangleKinds)[number]

/** Converts a frame, a JSON text, to another format. */
export const mangle = (kind: MangleKind, frame: Buffer): string | Uint8Array => {
  switch (kind) {
    case "gzip":
      return gzipSync(frame)
    case "retype":
      return rewritten(frame, (_, value) =>
        typeof value === "number" ? String(value) : isDigits(value) ? Number(value) : value
      )
    case "drop":
      return rewritten(frame, (key, value) => (numbering.has(key) ? undefined : value))
    case "swap":
      return rewritten(frame, (_, value) => (Array.isArray(value) ? { ...value } : value))
  }
}

/** The members that number a message, on any exchange. */
const numbering = new Set([
  ...["t", "U", "u", "lastUpdateId", "seq", "i", "tradeId", "seqId", "prevSeqId", "trade_id"],
  ...["sequence_num", "sequential_id", "timestamp", "checksum"]
])

const isDigits = (value: unknown): value is string =>
  typeof value === "string" && /^\d+$/.test(value) && Number.isSafeInteger(Number(value))

const rewritten = (frame: Buffer, change: (key: string, value: unknown) => unknown): string =>
  JSON.stringify(JSON.parse(frame.toString(), change))
