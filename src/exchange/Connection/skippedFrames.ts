import { Effect } from "effect"
import { labelOf, type SkipReason } from "../../domain/SkipReason.ts"
import { isAnybodys, type Malformed } from "../decoding/frames.ts"
import type { Unreadable } from "../Unreadable.ts"
import { ConnectionLost } from "../WebSocket.ts"
import { type ConnectionContext, noTags } from "./ConnectionContext.ts"
import type { Subscriptions } from "./Subscription.ts"
import type { Subscribing } from "./subscribing.ts"

/** The unusable frames of a connection: counted, kept, and logged at most once a second. */
export interface SkippedFrames {
  /** Called for every frame, of any kind. */
  readonly onFrame: () => void
  /** Handles an unusable frame. `lastFrameAt` is the stamp of the previous frame in microseconds, NaN if there was none. */
  readonly skip: (frame: Malformed, bytes: Buffer, now: number, lastFrameAt: number) => void
  /** Records something else that was skipped. */
  readonly note: (what: string) => void
  /** To be called once a second. Returns why the connection is useless, if most of its frames are unreadable. */
  readonly tick: () => ConnectionLost | undefined
  readonly report: Effect.Effect<void>
  /** Frames received. */
  readonly frames: () => number
}

/** Frames are judged together over this many seconds, if there are at least `minFramesToJudge`. */
const windowSeconds = 60
const minFramesToJudge = 100

export const makeSkippedFrames = (options: {
  readonly context: Pick<ConnectionContext, "skipped">
  readonly subscriptions: Subscriptions
  readonly subscribing: () => Pick<Subscribing, "isFormer" | "settle">
  readonly unreadable: Pick<Unreadable, "add">
}): SkippedFrames => {
  const { context, subscribing, subscriptions, unreadable } = options
  const reasons = new Map<string, number>()
  let unkept = 0
  let frames = 0
  let windowFrames = 0
  let windowMalformed = 0
  let seconds = 0

  const note = (what: string): void => {
    reasons.set(what, (reasons.get(what) ?? 0) + 1)
  }

  const countSkipped = (reason: SkipReason): void => {
    context.skipped.get(reason)?.unsafeUpdate(1, noTags)
    note(labelOf(reason))
  }

  return {
    onFrame: () => {
      frames++
      windowFrames++
    },
    skip: (frame, bytes, now, lastFrameAt) => {
      if (!isAnybodys(frame)) {
        if (!subscribing().isFormer(frame.channel)) countSkipped(frame.reason)
        return
      }
      windowMalformed++
      countSkipped(frame.reason)
      const subscription = frame.stream === undefined ? undefined : subscriptions.get(frame.stream)
      if (subscription !== undefined && subscription.answer !== "taken") {
        subscribing().settle(subscription, now)
      }
      if (!unreadable.add(frame, subscription?.stream, bytes, now, lastFrameAt)) unkept++
    },
    note,
    tick: () => {
      seconds++
      if (windowFrames >= minFramesToJudge && windowMalformed > windowFrames / 2) {
        return new ConnectionLost({
          kind: "unreadable",
          reason: `${windowMalformed} of ${windowFrames} frames could not be read`
        })
      }
      if (seconds % windowSeconds === 0) {
        windowFrames = 0
        windowMalformed = 0
      }
      return undefined
    },
    report: Effect.suspend(() => {
      const skipped = Object.fromEntries(
        Array.from(reasons, ([reason, count]) => [reason.replaceAll(" ", "_"), count])
      )
      const lost = unkept
      const isAny = reasons.size > 0
      reasons.clear()
      unkept = 0
      return Effect.zipRight(
        Effect.when(Effect.annotateLogs(Effect.logWarning("skipped frames"), skipped), () => isAny),
        Effect.when(
          Effect.annotateLogs(Effect.logError("dropped unreadable frames"), { frames: lost }),
          () => lost > 0
        )
      )
    }),
    frames: () => frames
  }
}
