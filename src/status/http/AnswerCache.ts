import { Duration, Effect } from "effect"
import { monotonicMillis } from "../../monotonicMillis.ts"

/** Keeps expensive answers for a while; the oldest are dropped for newer ones. One is made at a time. */
export interface AnswerCache {
  readonly get: (key: string, make: Effect.Effect<Uint8Array>) => Effect.Effect<Uint8Array>
}

/** `maxBytes` limits the total size of all answers: a larger one is not kept. */
export const makeAnswerCache = (options: {
  readonly maxBytes: number
  readonly timeToLive: Duration.DurationInput
}): AnswerCache => {
  const millis = Duration.toMillis(options.timeToLive)
  const oneByOne = Effect.unsafeMakeSemaphore(1)
  const answers = new Map<string, { readonly at: number; readonly body: Uint8Array }>()
  let bytes = 0

  const forgetWhile = (isTooMuch: (at: number) => boolean) => {
    for (const [key, { at, body }] of answers) {
      if (!isTooMuch(at)) return
      answers.delete(key)
      bytes -= body.length
    }
  }

  return {
    get: (key, make) =>
      Effect.gen(function* () {
        const now = yield* monotonicMillis
        forgetWhile((at) => now - at >= millis)
        const known = answers.get(key)
        if (known !== undefined) return known.body
        const body = yield* make
        if (body.length > options.maxBytes) return body
        answers.set(key, { at: now, body })
        bytes += body.length
        forgetWhile(() => bytes > options.maxBytes)
        return body
      }).pipe(oneByOne.withPermits(1))
  }
}
