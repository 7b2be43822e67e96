import type { Option, Stream } from "effect"

/** Where a journal begins. */
export interface JournalBegin {
  /** Its first entry is the one above this id. */
  readonly after: number
  /** The journal that it goes on from, of which the database was a copy. */
  readonly previous: Option.Option<string>
}

/** What only the database has of a journal, as of one moment. */
export interface JournalTail<E> {
  /** The id of its last entry. */
  readonly lastId: number
  /** The entries above an id, in order; `text` is all that an entry says. */
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
