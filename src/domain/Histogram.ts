/** Counts values by size, cheap enough for every message. */
export interface Histogram {
  /** Inclusive upper bounds, ascending; one more bucket holds what is above the last. */
  readonly bounds: ReadonlyArray<number>
  /** Not cumulative; one longer than `bounds`. */
  readonly counts: Array<number>
  sum: number
}

export const makeHistogram = (bounds: ReadonlyArray<number>): Histogram => ({
  bounds,
  counts: Array.from({ length: bounds.length + 1 }, () => 0),
  sum: 0
})

export const observe = (histogram: Histogram, value: number): void => {
  const { bounds, counts } = histogram
  let bucket = 0
  while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket++
  counts[bucket] = (counts[bucket] ?? 0) + 1
  histogram.sum += value
}
