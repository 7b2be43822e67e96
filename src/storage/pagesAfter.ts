import { Chunk, Effect, Option, Stream } from "effect"

/**
 * Reads rows that are in the order of a key, page by page: `page` returns the first `limit` rows after a key, and a page with fewer
 * is the last. Emits each page that is not empty.
 */
export const pagesAfter = <A, Key, E, R>(options: {
  readonly start: Key
  readonly limit: number
  readonly page: (after: Key) => Effect.Effect<ReadonlyArray<A>, E, R>
  readonly keyOf: (row: A) => Key
}): Stream.Stream<ReadonlyArray<A>, E, R> =>
  Stream.paginateChunkEffect(options.start, (after) =>
    Effect.map(options.page(after), (rows) => [
      rows.length === 0 ? Chunk.empty() : Chunk.of(rows),
      Option.map(Option.fromNullable(rows[options.limit - 1]), options.keyOf)
    ])
  )
