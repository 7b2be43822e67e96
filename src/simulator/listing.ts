/** A symbol as it appears in the list of instruments. */
export interface Listed {
  readonly symbol: string
  /** In the exchange's own words; undefined if it is traded as usual. */
  readonly status: string | undefined
}

/** What a list omits: one symbol, or all but the first `keep`. */
export type Omission = { readonly symbol: string } | { readonly keep: number }

/** The list of instruments that the simulator serves. */
export interface SimulatedListing {
  /** The answer to a request for this URL. */
  readonly answer: (url: string) => ReadonlyArray<Listed>
  /** Gives a symbol this status from now on. */
  readonly setStatus: (symbol: string, status: string) => void
  /** Applies the omission to the next `count` answers to each URL. */
  readonly omit: (omission: Omission, count: number) => void
  /** Drops all statuses and omissions. */
  readonly heal: () => void
}

/** Makes the list of `symbols`, the ones that exist. */
export const makeListing = (symbols: ReadonlySet<string>): SimulatedListing => {
  const statuses = new Map<string, string>()
  const omitted: Array<{
    readonly omission: Omission
    readonly count: number
    readonly used: Map<string, number>
  }> = []
  return {
    answer: (url) => {
      const active = omitted.filter(({ count, used }) => {
        const times = used.get(url) ?? 0
        used.set(url, times + 1)
        return times < count
      })
      return Array.from(symbols, (symbol) => ({ symbol, status: statuses.get(symbol) })).filter(
        ({ symbol }, position) =>
          !active.some(({ omission }) =>
            "symbol" in omission ? omission.symbol === symbol : position >= omission.keep
          )
      )
    },
    setStatus: (symbol, status) => void statuses.set(symbol, status),
    omit: (omission, count) => void omitted.push({ omission, count, used: new Map() }),
    heal: () => {
      statuses.clear()
      omitted.length = 0
    }
  }
}
