/** Returns ` (did you mean "x"?)` if a word is close to one of the candidates, otherwise an empty text. */
export const didYouMean = (word: string, candidates: Iterable<string>): string => {
  const best = mostSimilar(word, candidates)
  return best === undefined ? "" : ` (did you mean "${best}"?)`
}

/** Returns the candidate closest to a word: one character in four can be wrong, at least one, and at most `most`. */
export const mostSimilar = (
  word: string,
  candidates: Iterable<string>,
  most = Number.POSITIVE_INFINITY
): string | undefined => similar(word, candidates, most)[0]

/**
 * Returns all close candidates, the closest first; among equally close ones, the one with the longest common start comes first.
 */
export const similar = (
  word: string,
  candidates: Iterable<string>,
  most = Number.POSITIVE_INFINITY
): ReadonlyArray<string> => {
  const limit = Math.min(most, Math.max(1, Math.floor(word.length / 4)))
  const lower = word.toLowerCase()
  return Array.from(candidates, (candidate) => ({
    candidate,
    away: distance(lower, candidate.toLowerCase(), limit),
    alike: commonStart(lower, candidate.toLowerCase())
  }))
    .filter(({ away }) => away <= limit)
    .sort((a, b) => a.away - b.away || b.alike - a.alike)
    .map(({ candidate }) => candidate)
}

const commonStart = (a: string, b: string): number => {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return length
}

/**
 * Counts how many characters must be inserted, removed, replaced or swapped with the next one (the optimal string alignment
 * distance); returns anything above `limit` if it is more than that.
 */
const distance = (a: string, b: string, limit: number): number => {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let before: ReadonlyArray<number> = []
  let row: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isExchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const exchanged = isExchanged ? (before[j - 2] ?? 0) + 1 : replaced
      next.push(Math.min(replaced, exchanged, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
