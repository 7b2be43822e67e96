import { describe, expect, it } from "@effect/vitest"
import { archiveColumns, arrowMetadata } from "../../src/archive/columns.ts"

/** A table of a flatbuffer: where the field with a number begins, 0 if it is not there. */
const table = (bytes: Buffer, at: number) => {
  const fields = at - bytes.readInt32LE(at)
  const length = bytes.readUInt16LE(fields)
  const field = (n: number) => {
    const entry = 4 + 2 * n
    const offset = entry < length ? bytes.readUInt16LE(fields + entry) : 0
    return offset === 0 ? 0 : at + offset
  }
  const follow = (n: number) => field(n) + bytes.readUInt32LE(field(n))
  const textAt = (at: number) => bytes.toString("utf8", at + 4, at + 4 + bytes.readUInt32LE(at))
  return {
    has: (n: number) => field(n) !== 0,
    byte: (n: number) => (field(n) === 0 ? 0 : bytes.readUInt8(field(n))),
    short: (n: number) => (field(n) === 0 ? 0 : bytes.readInt16LE(field(n))),
    int: (n: number) => (field(n) === 0 ? 0 : bytes.readInt32LE(field(n))),
    text: (n: number) => textAt(follow(n)),
    table: (n: number) => table(bytes, follow(n)),
    tables: (n: number) => {
      const vector = follow(n)
      return Array.from({ length: bytes.readUInt32LE(vector) }, (_, i) => {
        const entry = vector + 4 + 4 * i
        return table(bytes, entry + bytes.readUInt32LE(entry))
      })
    }
  }
}
type Table = ReturnType<typeof table>

// Numbers as in Arrow's format/Schema.fbs and format/Message.fbs.
const typeOf = (field: Table): string => {
  const type = field.table(3)
  if (field.byte(2) === 10) return `timestamp ${["s", "ms", "us", "ns"][type.short(0)]} ${type.text(1)}`
  if (field.byte(2) !== 5) return `type ${field.byte(2)}`
  if (!field.has(4)) return "utf8"
  const index = field.table(4).table(1)
  return `dictionary utf8 ${index.byte(1) === 1 ? "int" : "uint"}${index.int(0)}`
}

describe("the Arrow schema of archives", () => {
  it("has their columns, with names of streams as dictionaries", () => {
    const message = Buffer.from(arrowMetadata["ARROW:schema"] ?? "", "base64")
    expect(message.readUInt32LE(0)).toBe(0xffffffff)
    expect(message.readUInt32LE(4)).toBe(message.length - 8)
    const root = table(message, 8 + message.readUInt32LE(8))
    expect(root.byte(1)).toBe(1)
    const fields = root.table(2).tables(1)
    expect(fields.map((field) => [field.text(0), typeOf(field), field.byte(1) === 1])).toEqual(
      archiveColumns.map(({ dictionary, name, nullable, type }) => [
        name,
        dictionary ? "dictionary utf8 int32" : type === "timestamp" ? "timestamp us UTC" : "utf8",
        nullable
      ])
    )
  })
})
