/** Holds items of which the least one is known. */
export interface Heap<A> {
  readonly push: (item: A) => void
  readonly least: () => A | undefined
  readonly takeLeast: () => A | undefined
  /** To be called after the least item has grown. */
  readonly leastGrew: () => void
}

/** Makes a binary heap. */
export const makeHeap = <A>(compare: (a: A, b: A) => number): Heap<A> => {
  const items: Array<A> = []

  const isLess = (i: number, j: number): boolean => {
    const a = items[i]
    const b = items[j]
    return a !== undefined && b !== undefined && compare(a, b) < 0
  }

  const swap = (i: number, j: number): void => {
    const a = items[i]
    const b = items[j]
    if (a === undefined || b === undefined) return
    items[i] = b
    items[j] = a
  }

  const sink = (): void => {
    for (let i = 0; ; ) {
      const left = 2 * i + 1
      const child = isLess(left + 1, left) ? left + 1 : left
      if (!isLess(child, i)) return
      swap(child, i)
      i = child
    }
  }

  return {
    push: (item) => {
      items.push(item)
      for (let i = items.length - 1; i > 0; ) {
        const parent = (i - 1) >> 1
        if (!isLess(i, parent)) return
        swap(i, parent)
        i = parent
      }
    },
    least: () => items[0],
    takeLeast: () => {
      const least = items[0]
      const last = items.pop()
      if (items.length > 0 && last !== undefined) {
        items[0] = last
        sink()
      }
      return least
    },
    leastGrew: sink
  }
}
