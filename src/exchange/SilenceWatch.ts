import type { PauseHabit } from "./PauseHabit.ts"
import { isSilent, patience, type StreamWatch, tick } from "./StreamWatch.ts"

/** Watches the streams of a connection together: when none of them speaks it is not the habit of each that is to be learned. */
export interface SilenceWatch {
  /** One second has passed for these, which are all that the exchange has taken. */
  readonly tick: (watches: ReadonlyArray<StreamWatch>) => void
  /** Whether it is time to do something about a stream's silence. */
  readonly isSilent: (watch: StreamWatch) => boolean
  /** Seconds since the last message of any of them. */
  readonly quietFor: () => number
}

/**
 * `timeoutSeconds`: how long a lively stream may say nothing. `all` learns the pauses of all streams of the exchange. A time in
 * which nothing came on the connection, although several of its streams should have spoken, is a halt of the exchange: but for
 * `timeoutSeconds` of it, nobody learns from it.
 */
export const makeSilenceWatch = (timeoutSeconds: number, all: PauseHabit): SilenceWatch => {
  let quietFor = 0
  const isHalt = (watches: ReadonlyArray<StreamWatch>, pause: number) =>
    pause > timeoutSeconds &&
    watches.filter(
      (watch) => watch.habit.pauses > 0 && watch.quietFor > 0 && patience(watch, timeoutSeconds, all) < pause
    ).length > 1
  return {
    tick: (watches) => {
      if (watches.some((watch) => watch.messages > watch.counted)) {
        const pause = quietFor + 1
        if (isHalt(watches, pause)) {
          for (const watch of watches)
            watch.sharedQuiet += Math.min(pause, watch.quietFor + 1) - timeoutSeconds
        }
        quietFor = 0
      } else {
        quietFor++
      }
      for (const watch of watches) tick(watch, all)
    },
    isSilent: (watch) => isSilent(watch, timeoutSeconds, all),
    quietFor: () => quietFor
  }
}
