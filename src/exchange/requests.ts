import type { MarketStream } from "../domain/StreamId.ts"
import { chunk } from "./chunk.ts"
import type { Request, SubscriptionChange } from "./Exchange.ts"

/** Splits a change into requests of at most `size` streams, written by `frameOf`. Those that unsubscribe come first. */
export const requestsOf = (
  { subscribe, unsubscribe }: SubscriptionChange,
  nextId: () => string,
  size: number,
  frameOf: (
    operation: "subscribe" | "unsubscribe",
    streams: ReadonlyArray<MarketStream>,
    id: string
  ) => string
): ReadonlyArray<Request> => [
  ...chunk(unsubscribe, size).map((streams) => {
    const id = nextId()
    return { id, frame: frameOf("unsubscribe", streams, id), streams: [] }
  }),
  ...chunk(subscribe, size).map((streams) => {
    const id = nextId()
    return { id, frame: frameOf("subscribe", streams, id), streams }
  })
]
