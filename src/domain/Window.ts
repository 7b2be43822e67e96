/** A time from `from` up to `to`, microseconds since the epoch. */
export interface Window {
  readonly from: number
  readonly to: number
}

/** Returns the same times as sorted windows that do not touch. Empty windows are left out. */
export const union = (windows: Iterable<Window>): ReadonlyArray<Window> => {
  const sorted = Array.from(windows)
    .filter(({ from, to }) => to > from)
    .sort((a, b) => a.from - b.from)
  const merged: Array<Window> = []
  for (const window of sorted) {
    const last = merged.at(-1)
    if (last === undefined || window.from > last.to) merged.push({ from: window.from, to: window.to })
    else if (window.to > last.to) merged[merged.length - 1] = { from: last.from, to: window.to }
  }
  return merged
}

/** Returns the times that lie in both. */
export const intersection = (a: Iterable<Window>, b: Iterable<Window>): ReadonlyArray<Window> => {
  const left = union(a)
  const right = union(b)
  const common: Array<Window> = []
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    const x = left[i]
    const y = right[j]
    if (x === undefined || y === undefined) break
    const from = Math.max(x.from, y.from)
    const to = Math.min(x.to, y.to)
    if (to > from) common.push({ from, to })
    if (x.to < y.to) i++
    else j++
  }
  return common
}

/** Returns the times that lie in the first and not in the second. */
export const difference = (a: Iterable<Window>, b: Iterable<Window>): ReadonlyArray<Window> => {
  const holes = union(b)
  const rest: Array<Window> = []
  let next = 0
  for (const window of union(a)) {
    let { from } = window
    while (from < window.to) {
      const hole = holes[next]
      if (hole === undefined || hole.from >= window.to) break
      if (hole.from > from) rest.push({ from, to: hole.from })
      from = Math.max(from, hole.to)
      // A hole that extends beyond this window may reach into the next one.
      if (hole.to > window.to) break
      next++
    }
    if (from < window.to) rest.push({ from, to: window.to })
  }
  return rest
}

/** Returns their total length, microseconds. */
export const lengthOf = (windows: Iterable<Window>): number =>
  union(windows).reduce((sum, { from, to }) => sum + to - from, 0)
