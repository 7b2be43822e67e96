import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { loadZstd } from "../../src/archive/zstd.ts"

const messages = FastCheck.array(
  FastCheck.record({ price: FastCheck.double({ noNaN: true }), id: FastCheck.nat() }),
  { maxLength: 200 }
).map((rows) => Buffer.from(JSON.stringify(rows)))

describe("zstd", () => {
  it.effect.prop(
    "returns what was compressed, whatever it is",
    [FastCheck.oneof(FastCheck.uint8Array({ maxLength: 100_000 }), messages)],
    ([bytes]) =>
      Effect.map(loadZstd, ({ compress, decompress }) => {
        expect(Buffer.from(decompress(compress(bytes), bytes.length)).equals(bytes)).toBe(true)
      })
  )

  it.effect("handles pages larger than those of the archive, compressible or not", () =>
    Effect.map(loadZstd, ({ compress, decompress }) => {
      let state = 1
      const random = Uint8Array.from({ length: 3_000_000 }, () => {
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
        return state >>> 16
      })
      const text = Buffer.from(`{"price":"64000.10","quantity":"0.5"}`.repeat(80_000))
      for (const bytes of [random, text]) {
        expect(Buffer.from(decompress(compress(bytes), bytes.length)).equals(bytes)).toBe(true)
      }
      expect(compress(text).length).toBeLessThan(text.length / 100)
    })
  )
})
