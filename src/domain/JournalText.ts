import type { Option, Stream } from "effect"

/** Where a journal starts. */
export interface JournalBegin {
  /** Its first entry is the one above this id. */
  readonly after: number
  /** The journal that it continues, of which the database was a copy. */
  readonly previous: Option.Option<string>
}

/** The part of a journal that only the database has, as of one moment. */
export interface JournalTail<E> {
  /** The id of its last entry. */
  readonly lastId: number
  /** The entries above an id, in order; `text` is the full text of an entry. */
  readonly rowsAfter: (after: number) => Stream.Stream<JournalText, E>
}

/** An entry as it is stored. */
export interface JournalText {
  readonly id: number
  /** Microseconds since the epoch. */
  readonly at: number
  readonly tag: string
  /** JSON of a JournalEvent. */
  readonly payload: string
  readonly isKept?: boolean
}
