/**
 * The server-sent events of the status page: a `Hello` when it connects, and whenever the streams change; a `PageUpdate` every
 * second. Times are milliseconds since the epoch; row `i` of a column belongs to stream `i`.
 */
export interface Hello {
  /** Ticks of another version are about other streams: reconnect. */
  readonly version: number
  readonly server: string
  readonly release: string
  readonly streams: ReadonlyArray<readonly [exchange: string, symbol: string, dataType: string]>
  /** The names of the values in `PageUpdate.states`. */
  readonly stateNames: ReadonlyArray<string>
  /** Messages per second of each stream over the last minute, the latest last. */
  readonly rates: ReadonlyArray<ReadonlyArray<number>>
  /** The totals of the last five minutes. */
  readonly totals: ReadonlyArray<Total>
}

/** One second. `commit` is the duration of the last commit in seconds; null before the first one. */
export type Total = readonly [at: number, rate: number, depth: number, commit: number | null]

export interface PageUpdate {
  readonly version: number
  readonly at: number
  readonly health: { readonly status: string; readonly reasons: ReadonlyArray<string> }
  readonly total: Total
  readonly rates: ReadonlyArray<number>
  /** Seconds since the last message; -1 if there was none. */
  readonly ages: ReadonlyArray<number>
  readonly states: ReadonlyArray<number>
  readonly gaps: ReadonlyArray<number>
  readonly queue: { readonly depth: number; readonly capacity: number; readonly dropped: number }
  readonly commits: {
    readonly committed: number
    readonly duplicates: number
    readonly rejected: number
    readonly lastAt: number | null
    readonly failure: string | null
  }
  readonly archives: {
    readonly pending: number
    readonly done: number
    readonly rows: number
    readonly bytes: number
    readonly recent: ReadonlyArray<{
      readonly key: string
      readonly step: string
      readonly at: number
      readonly rows: number | null
      readonly bytes: number | null
      readonly seconds: number | null
    }>
  } | null
  readonly disk: {
    readonly database: number
    readonly wal: number
    readonly outbox: number
    readonly free: number
  } | null
}
