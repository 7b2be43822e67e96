import { Duration } from "effect"
import type { Quota } from "./Protocol.ts"

/** Admits at most `count` calls within any period of length `per`. */
export const makeLimiter = ({ count, per }: Quota): ((now: number) => boolean) => {
  const millis = Duration.toMillis(per)
  const times: Array<number> = []
  return (now) => {
    while (times[0] !== undefined && now - times[0] >= millis) times.shift()
    times.push(now)
    return times.length <= count
  }
}
