import { Chunk, Effect, Option, Stream } from "effect"
import { makeHeap } from "./heap.ts"
import type { RecordedMessage, RecordedPage, Source } from "./Recorded.ts"

/**
 * The messages of several places in one order of receive time, oldest first. A place is opened when the order reaches it, so
 * that as many pages are in memory as there are places at the same time. Messages of one place keep their own order even where
 * its clock was set back: those behind the step follow immediately. `sources` are sorted by `from`; `isWanted` is asked for each
 * message in this order.
 */
export const inOrder = <R>(
  sources: ReadonlyArray<Source<R>>,
  isWanted: (message: RecordedMessage) => boolean
): Stream.Stream<RecordedMessage, never, R> =>
  Stream.suspend(() => {
    const open = makeHeap<OpenSource<R>>((a, b) => a.at - b.at)
    let next = 0

    const openDue = Effect.whileLoop({
      while: () =>
        next < sources.length && (sources[next]?.from ?? 0) <= (open.least()?.at ?? Number.POSITIVE_INFINITY),
      body: () => Effect.flatMap(openSource(sources[next++]), (source) => Effect.sync(() => push(source))),
      step: () => {}
    })

    const push = (source: OpenSource<R> | undefined): void => {
      if (source !== undefined) open.push(source)
    }

    /** The next messages, up to the end of a page or to where another place must be opened: perhaps none of them is wanted. */
    const batch = Effect.gen(function* () {
      yield* openDue
      const messages: Array<RecordedMessage> = []
      const until = sources[next]?.from ?? Number.POSITIVE_INFINITY
      while (messages.length < batchSize) {
        const source = open.least()
        if (source === undefined || source.at >= until) break
        const message = source.page[source.index]
        if (message !== undefined && isWanted(message)) messages.push(message)
        source.index++
        const following = source.page[source.index]
        if (following === undefined) {
          open.takeLeast()
          push(yield* nextPage(source))
          break
        } else {
          source.at = Math.max(source.at, following.timestamp)
          open.leastGrew()
        }
      }
      return messages
    })

    return Stream.paginateChunkEffect(undefined, () =>
      Effect.map(batch, (messages) => [
        Chunk.unsafeFromArray(messages),
        open.least() === undefined && next >= sources.length ? Option.none() : Option.some(undefined)
      ])
    )
  })

/** A place of which a page is in memory. `at`: the time of its next message, never less than that of an earlier one. */
interface OpenSource<R> {
  readonly read: Effect.Effect<RecordedPage | undefined, never, R>
  readonly page: RecordedPage
  index: number
  at: number
}

const openSource = <R>(source: Source<R> | undefined): Effect.Effect<OpenSource<R> | undefined, never, R> =>
  source === undefined
    ? Effect.succeed(undefined)
    : Effect.flatMap(source.open, (read) => nextPage({ read, page: [], index: 0, at: source.from }))

/** Reads the next page that has a message. */
const nextPage = <R>({ at, read }: OpenSource<R>): Effect.Effect<OpenSource<R> | undefined, never, R> =>
  Effect.gen(function* () {
    while (true) {
      const page = yield* read
      if (page === undefined) return undefined
      const [first] = page
      if (first !== undefined) return { read, page, index: 0, at: Math.max(at, first.timestamp) }
    }
  })

const batchSize = 1_000
