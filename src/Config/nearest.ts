/** ` (did you mean "x"?)` for a word that is nearly one of the candidates, else nothing. */
export const didYouMean = (word: string, candidates: Iterable<string>): string => {
  const limit = Math.max(1, Math.floor(word.length / 4))
  let best: string | undefined
  let bestDistance = limit + 1
  for (const candidate of candidates) {
    const away = distance(word.toLowerCase(), candidate.toLowerCase(), limit)
    if (away < bestDistance) {
      best = candidate
      bestDistance = away
    }
  }
  return best === undefined ? "" : ` (did you mean "${best}"?)`
}

/** How many characters must be inserted, removed or replaced; anything above `limit` where it is more than that. */
const distance = (a: string, b: string, limit: number): number => {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
