import { Clock, Duration, Effect } from "effect"

/**
 * Logs the message as a warning, at most once per interval for each key. The next one that gets through tells by the
 * field `suppressed` how many did not since. Keys say of what there may be many: a stream, a connection, an exchange.
 */
export type RateLimitedWarning = (
  key: string,
  message: string,
  fields?: Record<string, unknown>
) => Effect.Effect<void>

/**
 * Each has its own memory. It remembers `maxKeys` keys (1000 unless given); while that many had a warning within the
 * interval, all others share one more, so that a flood of keys is no flood of warnings.
 */
export const makeRateLimitedWarning = (options: {
  readonly interval: Duration.DurationInput
  readonly maxKeys?: number
}): Effect.Effect<RateLimitedWarning> =>
  Effect.sync(() => {
    const interval = Duration.toMillis(options.interval)
    const maxKeys = Math.max(1, options.maxKeys ?? 1000)
    /** In the order of `since`, the oldest first. */
    const memory = new Map<string, Memory>()
    const overflow: Memory = { since: Number.NEGATIVE_INFINITY, suppressed: 0 }

    const remember = (key: string, now: number): Memory => {
      const known = memory.get(key)
      if (known !== undefined) return known
      if (memory.size >= maxKeys && !forgetOldest(memory, now - interval)) return overflow
      return { since: Number.NEGATIVE_INFINITY, suppressed: 0 }
    }

    /** How many were suppressed, if it is time for a warning. */
    const pass = (key: string, now: number): number | undefined => {
      const state = remember(key, now)
      const elapsed = now - state.since
      // A clock that was set back must not silence a key until it has caught up.
      if (elapsed >= 0 && elapsed < interval) {
        state.suppressed++
        return undefined
      }
      const { suppressed } = state
      state.since = now
      state.suppressed = 0
      if (state !== overflow) {
        memory.delete(key)
        memory.set(key, state)
      }
      return suppressed
    }

    return (key, message, fields = {}) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const suppressed = pass(key, now)
        if (suppressed === undefined) return Effect.void
        return Effect.logWarning(message).pipe(
          Effect.annotateLogs(suppressed === 0 ? fields : { ...fields, suppressed })
        )
      })
  })

interface Memory {
  /** When the last warning was, milliseconds since the epoch. */
  since: number
  suppressed: number
}

/** Whether the key of the oldest warning could be given up: not if that warning is younger than `before`. */
const forgetOldest = (memory: Map<string, Memory>, before: number): boolean => {
  const [oldest] = memory
  if (oldest === undefined || oldest[1].since > before) return false
  return memory.delete(oldest[0])
}
