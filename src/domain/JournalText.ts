import { Either, type Option, type ParseResult, Schema, type Stream } from "effect"
import { type JournalEntry, JournalEvent, nothing } from "./JournalEvent.ts"

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

/** Decodes an entry. One whose tag is in `skip` only counts as present: its event is `nothing`. */
export const entryOf = (
  { at, id, isKept, payload, tag }: JournalText,
  skip?: ReadonlySet<string>
): Either.Either<JournalEntry, ParseResult.ParseError> =>
  Either.map(skip?.has(tag) === true ? Either.right(nothing) : decodeEvent(payload), (event) =>
    isKept === true ? { id, at, event, isKept } : { id, at, event }
  )

const decodeEvent = Schema.decodeUnknownEither(Schema.parseJson(JournalEvent))
