import { expect } from "vitest"

// Byte by byte, as `toEqual` compares them else, a megabyte takes ten seconds.
expect.addEqualityTesters([
  (a: unknown, b: unknown) =>
    a instanceof Uint8Array && b instanceof Uint8Array && a.constructor === b.constructor
      ? Buffer.compare(a, b) === 0
      : undefined
])
