import { Effect } from "effect"
import { readAnswer, within30Seconds } from "./httpGet.ts"

/** Fetches an answer of the exchange's REST interface: at most 1 MiB, within 30 s. Fails with the reason. */
export const fetchBytes = (restUrl: string, path: string): Effect.Effect<Buffer, string> =>
  Effect.gen(function* () {
    const pieces: Array<Uint8Array> = []
    yield* readAnswer(restUrl, path, maxBytes, (piece) => Effect.sync(() => pieces.push(piece)))
    return Buffer.concat(pieces)
  }).pipe(within30Seconds)

const maxBytes = 1_048_576
