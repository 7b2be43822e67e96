/** Finds objects in a JSON text that arrives in pieces. */
export interface JsonItems {
  /** Returns the objects that end in this piece, each as JSON text. */
  readonly take: (piece: Uint8Array) => ReadonlyArray<string>
  /** Whether the text is complete: one value, with everything closed that it opened. */
  readonly isWhole: () => boolean
}

/**
 * Finds the objects at this depth, 1 for those of an array, in a list of megabytes. At most one of them is held in memory, and
 * no piece takes longer than some milliseconds. The text itself is not validated.
 */
export const makeJsonItems = (depth: number): JsonItems => {
  let level = 0
  let isInText = false
  let isEscaped = false
  let hasBegun = false
  /** The start of an object from earlier pieces; undefined between two objects. */
  let begun: Array<Uint8Array> | undefined

  return {
    isWhole: () => hasBegun && level === 0,
    take: (piece) => {
      const items: Array<string> = []
      let start = 0
      for (let i = 0; i < piece.length; i++) {
        const byte = piece[i]
        if (isInText) {
          if (isEscaped) isEscaped = false
          else if (byte === backslash) isEscaped = true
          else if (byte === quote) isInText = false
        } else if (byte === quote) {
          isInText = true
        } else if (byte === openBrace || byte === openBracket) {
          if (byte === openBrace && level === depth && begun === undefined) {
            begun = []
            start = i
          }
          hasBegun = true
          level++
        } else if (byte === closeBrace || byte === closeBracket) {
          level--
          if (level !== depth || begun === undefined) continue
          items.push(Buffer.concat([...begun, piece.subarray(start, i + 1)]).toString())
          begun = undefined
        }
      }
      if (begun !== undefined) begun.push(piece.slice(start))
      return items
    }
  }
}

const quote = 0x22
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d
