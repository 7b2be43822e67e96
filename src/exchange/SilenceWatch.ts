import type { PauseHabit } from "./PauseHabit.ts"
import { isSilent, patience, type StreamWatch, tick } from "./StreamWatch.ts"

/** Watches the streams of a connection together: when all of them are quiet, that is not learned as the habit of each. */
export interface SilenceWatch {
  /** Counts one second for these watches, which are those of all streams that the exchange accepted. */
  readonly tick: (watches: ReadonlyArray<StreamWatch>) => void
  /** Whether it is time to do something about a stream's silence. */
  readonly isSilent: (watch: StreamWatch) => boolean
  /** Seconds since the last message of any of them. */
  readonly quietFor: () => number
}

/**
 * Makes a watch. `timeoutSeconds` is how long a lively stream can be quiet. `all` learns the pauses of all streams of the
 * exchange. A period without any message on the connection, although several of its streams were due, is a halt of the
 * exchange: except for its first `timeoutSeconds`, nothing is learned from it.
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
