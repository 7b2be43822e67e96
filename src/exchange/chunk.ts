/** Splits items into chunks of at most `size`, in order. */
export const chunk = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))

/**
 * Splits items into as few parts that fit as possible, keeping the order. An item that does not fit by itself becomes a part.
 */
export const partition = <A>(
  items: ReadonlyArray<A>,
  fits: (items: ReadonlyArray<A>) => boolean
): ReadonlyArray<ReadonlyArray<A>> => {
  const parts: Array<Array<A>> = []
  for (const item of items) {
    const part = parts.at(-1)
    if (part === undefined) parts.push([item])
    else {
      part.push(item)
      if (!fits(part)) {
        part.pop()
        parts.push([item])
      }
    }
  }
  return parts
}
