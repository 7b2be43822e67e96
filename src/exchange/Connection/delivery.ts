import { type Integer, plus } from "../../domain/Integer.ts"
import type { MarketStream } from "../../domain/StreamId.ts"
import {
  advance,
  judge,
  maxHoles,
  missingOn,
  type NumberedRule,
  nothingSeen,
  spansConnections,
  type Verdict
} from "../Continuity.ts"
import type { Frame, Part } from "../Exchange.ts"
import { isAnswer, unsureSince } from "../Reasked.ts"
import { isNew, judgeHere, makeRemembered, makeSeenHere, seeHere } from "../SeenHere.ts"
import { restart } from "../StreamWatch.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import type { Unreadable } from "../Unreadable.ts"
import { type ConnectionContext, noTags } from "./ConnectionContext.ts"
import * as Handover from "./handover.ts"
import { endStandby, type Subscription, type Subscriptions } from "./Subscription.ts"
import { tellConnected } from "./streamEvents.ts"
import type { Subscribing } from "./subscribing.ts"
import { breakOf, discontinuity, gapDetected } from "./verdictEvents.ts"

type Data = Extract<Frame, { readonly _tag: "Data" }>

/**
 * Delivers the messages of a connection: offers each to the queue, judges it against those before it, and reports what is
 * missing. Everything runs on the call stack of the socket. Times are receive times in microseconds.
 */
export interface Delivery {
  /** Handles a data frame with this part of it as payload. */
  readonly deliver: (frame: Data, data: Buffer, now: number) => void
  /** Handles a numbered frame without data, on a connection that numbers all of its frames. */
  readonly count: (number: Integer, sent: number | null | undefined, now: number) => void
  /** Makes the messages of the stream on this connection count from now on, whether any have arrived or not. */
  readonly takeOver: (subscription: Subscription, now: number) => void
  /** Whether any message arrived. */
  readonly hadData: () => boolean
}

export const makeDelivery = (options: {
  readonly context: Pick<ConnectionContext, "emit" | "exchange" | "latency" | "offer" | "onFirst">
  readonly connection: string
  readonly subscriptions: Subscriptions
  readonly subscribing: Pick<Subscribing, "isWaiting" | "settle">
  readonly unreadable: Pick<Unreadable, "onMessage">
}): Delivery => {
  const { connection, subscribing, subscriptions, unreadable } = options
  const { emit, exchange, latency, offer, onFirst } = options.context
  /** The rule of a connection that numbers all of its frames. */
  const numbering = exchange.dataTypes
    .map((dataType) => exchange.continuity(dataType))
    .find((rule): rule is NumberedRule => rule.kind !== "none" && rule.scope === "connection")
  let counter = numbering?.first === undefined ? nothingSeen : { ...nothingSeen, last: numbering.first - 1 }
  const counted = makeSeenHere(makeRemembered())
  /** When the last frame with a new number arrived. */
  let lastNewFrameAt = Number.NaN
  let hadData = false

  const deliver: Delivery["deliver"] = (frame, data, now) => {
    receive(frame, now, data)
    for (const part of frame.also) receive(part, now, data)
    if (numbering === undefined || countPlace(numbering, frame, frame.sent, now)._tag !== "Repeated") return
    noteRepeated(frame.stream)
    for (const { stream } of frame.also) noteRepeated(stream)
  }

  const receive = (part: Part, now: number, data: Buffer): void => {
    const { exchangeTimestamp, stream: streamId } = part
    offer({
      stream: streamId,
      exchangeSequenceId: part.exchangeSequenceId,
      timestamp: now,
      exchangeTimestamp,
      data
    })
    const subscription = subscriptions.get(streamId)
    // What is sent once more was on its way only the first time.
    const isNews = !part.snapshot && part.exchangeSequenceId !== subscription?.stream.lastSequenceId
    if (exchangeTimestamp !== null && isNews) {
      latency.unsafeUpdate((now - exchangeTimestamp) / 1000, noTags)
    }
    if (subscription === undefined) return
    const { stream } = subscription
    stream.messages++
    if (subscription.answer !== "taken" || subscribing.isWaiting()) subscribing.settle(subscription, now)
    if (!subscription.isTold || stream.isToldSilent) tellConnected(emit, connection, subscription, now)
    if (stream.unreadable !== null) unreadable.onMessage(stream, now)
    const isFirst = !subscription.live
    if (isFirst && stream.first === null) {
      const { last, missing = 0, previous, snapshot } = part
      const since = Math.min(subscription.takenAt, now)
      stream.first = { at: now, since, previous, last, missing, snapshot }
      onFirst(stream)
    }
    subscription.live = true
    hadData = true
    if (!subscription.counts) {
      standBy(subscription, part, now)
      return
    }
    const resumed = isFirst && resume(subscription, part, now)
    if (!part.snapshot) stream.watch.messages++
    if (stream.state !== "live" && stream.unreadable === null) stream.state = "live"
    const { rule } = stream
    if (rule.kind !== "none" && rule.scope === "stream") judgeNumbers(subscription, rule, part, now, resumed)
    else if (part.snapshot && !isFirst) judgeSnapshot(subscription, part, now)
    stream.lastMessageAt = now
    stream.lastSequenceId = part.exchangeSequenceId
  }

  const judgeNumbers = (
    { here, reasked, stream }: Subscription,
    rule: NumberedRule,
    part: Part,
    now: number,
    resumed: boolean
  ): void => {
    const { exchangeTimestamp } = part
    const { holes, last } = stream.continuity
    const times = { time: exchangeTimestamp, newest: stream.newest }
    const verdict = judgeHere(rule.kind, stream.continuity, part, here, times)
    stream.continuity = advance(stream.continuity, part, verdict)
    seeHere(here, part, exchangeTimestamp, verdict)
    // Messages that look known are not certain to be the same ones.
    const after = stream.lastNewAt
    if (isNew(verdict)) {
      stream.lastNewAt = now
      if (exchangeTimestamp !== null && !(exchangeTimestamp <= stream.newest)) {
        stream.newest = exchangeTimestamp
      }
    }
    switch (verdict._tag) {
      case "Continues":
        return
      case "Gap": {
        const missing =
          stream.successor !== null && spansConnections(rule)
            ? missingOn(stream.successor, verdict.hole)
            : undefined
        if (missing === undefined) {
          tellGap(stream, rule, verdict, after, now)
          return
        }
        stream.continuity = { ...stream.continuity, holes: [...holes, ...missing].slice(-maxHoles) }
        for (const hole of missing) tellGap(stream, rule, Handover.restOf(rule, hole, verdict), after, now)
        return
      }
      case "OutOfOrder":
        stream.outOfOrder++
        return
      case "Repeated":
        if (!(part.last <= stream.overlap)) stream.repeated++
        return
      case "Restarted":
        if (isAnswer(reasked, now, stream.lastMessageAt) && part.last === last) return
    }
    const reason = breakOf(verdict)
    if (reason === undefined || resumed) return
    emit(discontinuity(stream.id, reason, { at: now, after, before: now }))
  }

  const judgeSnapshot = ({ reasked, stream }: Subscription, part: Part, now: number): void => {
    const { lastMessageAt } = stream
    if (isAnswer(reasked, now, lastMessageAt) || part.exchangeSequenceId === stream.lastSequenceId) return
    const after = unsureSince(reasked, now, lastMessageAt)
    emit(discontinuity(stream.id, "snapshot", { at: now, after, before: now }))
  }

  const tellGap = (
    stream: TrackedStream,
    rule: NumberedRule,
    gap: Parameters<typeof gapDetected>[2],
    after: number,
    now: number
  ): void => {
    stream.gaps++
    emit(gapDetected(stream.id, rule, gap, { at: now, after, before: now }))
  }

  /** Records that the stream's messages now come from here. Returns whether a change of connection was reported. */
  const resume = ({ stream, takenAt }: Subscription, part: Part, now: number): boolean => {
    const before = stream.connection
    stream.connection = connection
    stream.watch.live = true
    if (before === null || before === connection || Number.isNaN(stream.lastMessageAt)) return false
    if (!spansConnections(stream.rule)) stream.continuity = nothingSeen
    if (isNumberedOn(stream, part)) return false
    const after = Number.isNaN(stream.sureUntil) ? stream.lastMessageAt : stream.sureUntil
    const to = takenAt > after && takenAt <= now ? takenAt : now
    emit(discontinuity(stream.id, "reconnect", { at: now, after, before: to }))
    return true
  }

  /** Handles a message on a connection that has yet to take over: the other connection counts, this one only keeps track. */
  const standBy = (subscription: Subscription, part: Part, now: number): void => {
    const { here, stream } = subscription
    const before = subscription.standby
    const { late, standby, verdict } = Handover.standBy(before, here, stream, part, now)
    if (Number.isNaN(before.firstAt) || stream.successor === before) stream.successor = standby
    subscription.standby = standby
    seeHere(here, part, part.exchangeTimestamp, verdict)
    if (late === undefined) return
    stream.continuity = advance(stream.continuity, part, late)
    stream.outOfOrder++
  }

  const takeOver: Delivery["takeOver"] = (subscription, now) => {
    const { answer, here, live, standby, stream } = subscription
    subscription.counts = true
    endStandby(subscription)
    restart(stream.watch)
    if (answer === "refused") stream.state = "refused"
    if (answer === "taken" && stream.connection !== null) stream.connection = connection
    if (!live) {
      if (answer === "taken" && !spansConnections(stream.rule)) stream.continuity = nothingSeen
      return
    }
    stream.connection = connection
    stream.watch.live = true
    if (stream.unreadable === null) stream.state = "live"
    const { events, stream: known } = Handover.takeOver(standby, here.time, stream, now)
    Object.assign(stream, known)
    for (const event of events) {
      if (event._tag === "GapDetected") stream.gaps++
      emit(event)
    }
  }

  /** Judges a frame of a connection that numbers all of its frames: it is unknown whose message is missing. */
  const countPlace = (
    rule: NumberedRule,
    { last, previous }: { readonly previous: Integer; readonly last: Integer },
    sent: number | null | undefined,
    now: number
  ): Verdict => {
    const place = { previous, last, snapshot: false }
    const time = sent ?? null
    const verdict = judgeHere(rule.kind, counter, place, counted, { time, newest: Number.NaN })
    const after = lastNewFrameAt
    counter = advance(counter, place, verdict)
    seeHere(counted, place, time, verdict)
    if (isNew(verdict)) lastNewFrameAt = now
    if (verdict._tag === "Continues" || verdict._tag === "Repeated") return verdict
    for (const { answer, stream } of subscriptions.values()) {
      if (stream.rule.kind === "none" || stream.rule.scope !== "connection" || answer === "refused") continue
      // It was reported as missing for every stream.
      if (verdict._tag === "OutOfOrder") stream.outOfOrder++
      else if (verdict._tag === "Gap") tellGap(stream, rule, verdict, after, now)
      else emit(discontinuity(stream.id, "set back", { at: now, after, before: now }))
    }
    return verdict
  }

  const noteRepeated = (streamId: MarketStream): void => {
    const subscription = subscriptions.get(streamId)
    if (subscription !== undefined) subscription.stream.repeated++
  }

  return {
    deliver,
    count: (number, sent, now) => {
      if (numbering !== undefined) {
        countPlace(numbering, { previous: plus(number, -1), last: number }, sent, now)
      }
    },
    takeOver,
    hadData: () => hadData
  }
}

/** Whether numbers tell what is missing before the first message of a connection: either nothing, or there is a gap. */
const isNumberedOn = ({ continuity, rule }: TrackedStream, part: Part): boolean => {
  if (!spansConnections(rule) || part.snapshot) return false
  if (Number.isNaN(continuity.last) || Number.isNaN(part.last)) return false
  const { _tag } = judge(rule.kind, continuity, part)
  return _tag === "Continues" || _tag === "Gap"
}
