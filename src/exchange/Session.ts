import { Deferred, Duration, Effect, Mailbox, type Metric, Random, type Scope } from "effect"
import type { ExchangeEvent } from "../domain/ExchangeEvent.ts"
import { greatest, type Integer, plus } from "../domain/Integer.ts"
import { labelOf, type SkipReason } from "../domain/SkipReason.ts"
import type { Snapshot } from "../domain/Snapshot.ts"
import { type MarketStream, type StreamId, streamKey } from "../domain/StreamId.ts"
import type { Allowance } from "./Allowance.ts"
import type { AttemptLimiter } from "./AttemptLimiter.ts"
import {
  advance,
  type Continuity,
  type ContinuityRule,
  type Hole,
  judge,
  type Lane,
  maxHoles,
  missingOn,
  nothingSeen,
  numbersAround,
  sizeOf,
  type Verdict
} from "./Continuity.ts"
import type { Exchange, Frame, Part, Request, Signer, SubscriptionChange } from "./Exchange.ts"
import { isAnybodys, type Malformed } from "./frames.ts"
import { makePacer, type Pacer } from "./Pacer.ts"
import type { PauseHabit } from "./PauseHabit.ts"
import { isAnswer, makeReasked, type Reasked, reask, unsureSince } from "./Reasked.ts"
import type { ReceiveClock } from "./ReceiveClock.ts"
import {
  isLater,
  isNew,
  judgeHere,
  makeRemembered,
  makeSeenHere,
  type SeenHere,
  seeHere
} from "./SeenHere.ts"
import type { SilenceWatch } from "./SilenceWatch.ts"
import type { StatusWatch } from "./StatusWatch.ts"
import { attempted, restart } from "./StreamWatch.ts"
import { refuse, sureUntil, type TrackedStream, timeOf } from "./TrackedStream.ts"
import { isTalking, makeUnreadable } from "./Unreadable.ts"
import { ConnectionEnded, connect } from "./WebSocket.ts"

/** What all connections to an exchange share. */
export interface SessionContext {
  readonly exchange: Exchange
  readonly url: string
  /** How long a lively stream may say nothing. */
  readonly silenceTimeout: Duration.Duration
  /** What is usual for all streams of the exchange. */
  readonly habit: PauseHabit
  readonly clock: ReceiveClock["Type"]
  /** Takes every message, on the socket's call stack. */
  readonly offer: (snapshot: Snapshot) => void
  /** Takes every event, on the same stack. */
  readonly emit: (event: ExchangeEvent) => void
  /** Hears of the first message of every stream. */
  readonly onFirst: (stream: TrackedStream) => void
  readonly latency: Metric.Metric.Histogram<number>
  /** Counts frames that could not be used. */
  readonly skipped: ReadonlyMap<SkipReason, Metric.Metric.Counter<number>>
  /** The stream under which frames are kept that could not be read, by the symbol that they name. */
  readonly unreadableOf: (symbol: string) => StreamId
  /** Hears what the exchange says of itself. */
  readonly statuses: StatusWatch
  readonly signer: Signer | undefined
  /** Spaces attempts to connect. */
  readonly attempts: AttemptLimiter
  /** Spaces messages of all connections together, where the exchange counts them so. */
  readonly messages: Pacer | undefined
  /** A name that no other connection has or had. */
  readonly nextConnection: () => string
}

/** One connection, from its opening to its end. */
export interface Session {
  readonly id: string
  /** How it ended, once it did. */
  readonly ended: Effect.Effect<ConnectionEnded>
  /** Returns when another connection should take over, with the reason. */
  readonly handover: Effect.Effect<Handover>
  /** Returns when every stream that it was opened for was taken or refused. */
  readonly ready: Effect.Effect<void>
  /** Whether all that is live here goes on there. */
  readonly isCaughtUpBy: (other: Session) => boolean
  /** Whether messages come here, and the connection before has none left to deliver that were sent before them. */
  readonly continues: (stream: TrackedStream) => boolean
  /** Asks for streams. */
  readonly subscribe: (streams: ReadonlyArray<TrackedStream>) => void
  /** Ends streams, for this reason. */
  readonly unsubscribe: (streams: ReadonlyArray<TrackedStream>, end: ConnectionEnded) => void
  /** Takes over from the connection before: what comes here is what counts from now on. */
  readonly promote: () => void
  /** Asks for streams that another connection keeps: what comes here counts after `adopt`. */
  readonly subscribeGuests: (streams: ReadonlyArray<TrackedStream>) => void
  readonly adopt: (streams: ReadonlyArray<TrackedStream>) => void
  /** Whether the exchange sends the stream here, as far as is known. */
  readonly carries: (stream: TrackedStream) => boolean
  /** The streams that the exchange took here. */
  readonly carried: () => ReadonlyArray<TrackedStream>
  /** Tells of the end of every stream that was told to be connected here. */
  readonly reportEnds: (end: ConnectionEnded, at: number) => void
  /** Whether any message came. */
  readonly hadData: () => boolean
  readonly status: () => SessionStatus
}

/** Why another connection should take over. */
export interface Handover {
  readonly kind: "replaced" | "silent"
  readonly reason: string
}

export interface SessionStatus {
  readonly exchange: string
  readonly connection: string
  readonly streams: number
  /** Microseconds since the epoch. */
  readonly openedAt: number
  /** When anything was last heard, pings and pongs included, microseconds since the epoch. */
  readonly heardAt: number
  /** Frames received, of whatever kind. */
  readonly frames: number
  /** Pings sent by us, and their answers. */
  readonly pings: number
  readonly pongs: number
  /** Pings of the exchange, all answered. */
  readonly pingsAnswered: number
}

export interface SessionOptions {
  readonly id: string
  readonly streams: ReadonlyArray<TrackedStream>
  /** Whether its messages count at once, or only after `promote`. */
  readonly primary: boolean
  /** Those of `streams` that another connection keeps until they are adopted. */
  readonly guests: ReadonlySet<TrackedStream>
  /** How many frames that cannot be read are kept. */
  readonly allowance: Allowance
  readonly silence: SilenceWatch
  /** Streams that were asked for again in vain: they should get another connection. Answers whether they do. */
  readonly onMove: (streams: ReadonlyArray<TrackedStream>) => boolean
}

/** A stream on this connection. */
interface Subscription {
  readonly stream: TrackedStream
  /**
   * - `asked`: nothing so far;
   * - `taken`: the exchange took it, or a message shows that it did;
   * - `assumed`: an exchange that answers nothing has had messages of it on an earlier connection;
   * - `refused`: it is to be asked for again at the stream's `retryAt`.
   */
  answer: "asked" | "taken" | "assumed" | "refused"
  /** When the exchange took it, NaN for not yet. */
  takenAt: number
  /** Whether it was told that it is connected: that a message came since it was taken. */
  isTold: boolean
  /** Whether a message came. */
  live: boolean
  readonly reasked: Reasked
  /** Whether what comes counts: else another connection keeps the stream. */
  counts: boolean
  readonly here: SeenHere
  /** What came here before the connection took over. */
  readonly lane: FollowedLane
}

/** What a connection that is to take over has seen of a stream. */
interface FollowedLane extends Lane {
  start: Integer
  seen: Continuity
  /** The holes that were found here, as they were then. */
  found: ReadonlyArray<FoundHole>
  /** Whether the exchange set its numbers back here: they cannot be compared with those of the connection before. */
  isSetBack: boolean
  firstAt: number
  lastAt: number
}

/** `after` and `before` are the receive times of the messages around it. */
interface FoundHole {
  readonly hole: Hole
  readonly size: number | null
  readonly after: number
  readonly before: number
}

/** A request without an answer for all of its streams. */
interface Pending {
  readonly streams: Set<MarketStream>
  readonly indivisible: boolean
  seconds: number
}

/** How long an exchange may take to answer a subscription, by acknowledgement or by data. */
const answerSeconds = 10

const windowSeconds = 60
const minFramesToJudge = 100
const reportSeconds = 10

/** Opens a connection, asks for the streams, and keeps it alive in the scope until something ends it. */
export const openSession = (
  context: SessionContext,
  options: SessionOptions
): Effect.Effect<Session, ConnectionEnded, Scope.Scope> =>
  Effect.gen(function* () {
    const { clock, emit, exchange, offer } = context
    const { id, silence } = options
    const ended = yield* Deferred.make<ConnectionEnded>()
    const handover = yield* Deferred.make<Handover>()
    const ready = yield* Deferred.make<void>()
    const failure = yield* Deferred.make<never, ConnectionEnded>()
    const outbox = yield* Mailbox.make<SubscriptionChange>()
    const pacer = context.messages ?? makePacer(exchange.limits.messages)
    const effectClock = yield* Effect.clock
    const monotonicMillis = () => Number(effectClock.unsafeCurrentTimeNanos() / 1_000_000n)

    const byChannel = new Map<string, MarketStream>()
    const subscriptions = new Map<MarketStream, Subscription>()
    const pending = new Map<string, Pending>()
    const skipped = new Map<string, number>()
    let unkept = 0
    /** When streams were last ended, by the clock that nobody sets. */
    let endedAt = Number.NEGATIVE_INFINITY
    /** Channels that were ended on this connection: what still comes of them means nothing. */
    const former = new Set<string>()
    const decode = exchange.makeDecoder(byChannel, id)
    const unreadable = makeUnreadable({
      context,
      connection: id,
      allowance: options.allowance,
      monotonicMillis,
      streams: function* () {
        for (const { answer, stream } of subscriptions.values()) {
          if (answer === "taken" || answer === "assumed") yield stream
        }
      }
    })
    let primary = options.primary
    const numbering = exchange.dataTypes
      .map((dataType) => exchange.continuity(dataType))
      .find((rule) => rule.scope === "connection")
    let counter = beginOf(numbering)
    const counted = makeSeenHere(makeRemembered())
    /** When the last frame came whose number had not been there. */
    let lastNewFrameAt = Number.NaN
    let openedAt = 0
    let lastFrameAt = Number.NaN
    /** The same, or that of a ping or a pong. */
    let heardAt = 0
    let heard = false
    let answered = false
    let hadData = false
    let requests = 0
    let frames = 0
    let windowFrames = 0
    let windowMalformed = 0
    let pings = 0
    let pongs = 0
    let pingsAnswered = 0
    let pingDue = Number.POSITIVE_INFINITY
    let pongSeconds = -1

    const askForSuccessor = (kind: Handover["kind"], reason: string) =>
      Deferred.unsafeDone(handover, Effect.succeed({ kind, reason }))
    const fail = (error: ConnectionEnded) => Deferred.unsafeDone(failure, Effect.fail(error))

    // ---- messages

    const onMessage = (bytes: Buffer): void => {
      const now = clock.unsafeNow()
      heard = true
      frames++
      windowFrames++
      if (clock.unsafeElapsed() >= pingDue) ping()
      const frame = decode(bytes)
      if (frame._tag === "Data") {
        unreadable.onRead(now)
        const data = bytes.subarray(frame.start, frame.end)
        receive(frame, now, data)
        for (const part of frame.also) receive(part, now, data)
        if (numbering !== undefined && count(frame, frame.sent, now)._tag === "Repeated") {
          for (const { stream } of [frame, ...frame.also]) noteRepeated(stream)
        }
      } else {
        if (frame.counter !== undefined) {
          count({ previous: plus(frame.counter, -1), last: frame.counter }, frame.sent, now)
        }
        if (frame._tag === "Malformed") skip(frame, bytes, now)
        else onControl(frame, now)
      }
      lastFrameAt = now
      heardAt = now
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
      if (exchangeTimestamp !== null && !part.snapshot) {
        context.latency.unsafeUpdate((now - exchangeTimestamp) / 1000, noTags)
      }
      const subscription = subscriptions.get(streamId)
      if (subscription === undefined) return
      const { stream } = subscription
      stream.messages++
      if (subscription.answer !== "taken" || pending.size > 0) settle(subscription, now)
      if (!subscription.isTold || stream.isToldSilent) tellHeard(subscription, now)
      if (stream.unreadable !== null) unreadable.onMessage(stream, now)
      const isFirst = !subscription.live
      if (isFirst && stream.first === null) {
        const { last, missing = 0, previous, snapshot } = part
        const since = Math.min(subscription.takenAt, now)
        stream.first = { at: now, since, previous, last, missing, snapshot }
        context.onFirst(stream)
      }
      subscription.live = true
      hadData = true
      if (!subscription.counts) {
        follow(subscription, part, now)
        return
      }
      const { reasked } = subscription
      const { lastMessageAt } = stream
      const resumed = isFirst && takeOver(subscription, part, now)
      if (!part.snapshot) stream.watch.messages++
      if (stream.state !== "live" && stream.unreadable === null) stream.state = "live"
      if (stream.rule.kind !== "none" && stream.rule.scope === "stream") {
        const { here } = subscription
        const { holes, last } = stream.continuity
        const times = { time: exchangeTimestamp, newest: stream.newest }
        const verdict = judgeHere(stream.rule.kind, stream.continuity, part, here, times)
        stream.continuity = advance(stream.continuity, part, verdict)
        seeHere(here, part, exchangeTimestamp, verdict)
        // It is not certain that messages that seem to be known were these.
        const after = stream.lastNewAt
        if (isNew(verdict)) {
          stream.lastNewAt = now
          if (exchangeTimestamp !== null && !(exchangeTimestamp <= stream.newest))
            stream.newest = exchangeTimestamp
        }
        if (verdict._tag === "Gap" && stream.successor !== null && stream.rule.spansConnections) {
          const missing = missingOn(stream.successor, verdict.hole)
          stream.continuity = { ...stream.continuity, holes: [...holes, ...missing].slice(-maxHoles) }
          for (const hole of missing) report(stream, gapOf(stream, hole, verdict), after, now, resumed)
        } else if (
          verdict._tag !== "Continues" &&
          !(verdict._tag === "Repeated" && part.last <= stream.overlap) &&
          !(verdict._tag === "Restarted" && isAnswer(reasked, now, lastMessageAt) && part.last === last)
        ) {
          report(stream, verdict, after, now, resumed)
        }
      } else if (part.snapshot && !isFirst) {
        const isExpected = isAnswer(reasked, now, lastMessageAt)
        if (!isExpected && part.exchangeSequenceId !== stream.lastSequenceId) {
          report(stream, { _tag: "Restarted" }, unsureSince(reasked, now, lastMessageAt), now, false)
        }
      }
      stream.lastMessageAt = now
      stream.lastSequenceId = part.exchangeSequenceId
    }

    /** The stream's messages come from here now. Answers whether they came from another connection before. */
    const takeOver = ({ stream, takenAt }: Subscription, part: Part, now: number): boolean => {
      const before = stream.connection
      stream.connection = id
      stream.watch.live = true
      if (before === null || before === id || Number.isNaN(stream.lastMessageAt)) return false
      if (!stream.rule.spansConnections) stream.continuity = nothingSeen
      if (isNumberedOn(stream, part)) return false
      const after = Number.isNaN(stream.sureUntil) ? stream.lastMessageAt : stream.sureUntil
      emit({
        _tag: "Discontinuity",
        at: now,
        stream: stream.id,
        reason: "reconnect",
        after,
        before: takenAt > after && takenAt <= now ? takenAt : now
      })
      return true
    }

    /** A message of a connection that is still to take over: the other one counts, here it is only noted. */
    const follow = ({ here, lane, stream }: Subscription, part: Part, now: number): void => {
      const { continuity, rule } = stream
      const begin = part.snapshot ? part.last : part.previous
      if (Number.isNaN(lane.firstAt)) {
        lane.firstAt = now
        stream.successor = lane
      }
      if (Number.isNaN(lane.start)) lane.start = begin
      const times = { time: part.exchangeTimestamp, newest: Number.NaN }
      const verdict = judgeHere(rule.kind, lane.seen, part, here, times)
      seeHere(here, part, part.exchangeTimestamp, verdict)
      lane.seen = advance(lane.seen, part, verdict, Number.POSITIVE_INFINITY)
      if (verdict._tag === "Gap") {
        const { hole, size } = verdict
        const isLeft = ({ to }: Hole) => !rule.spansConnections || !(to <= continuity.last)
        lane.found = [...lane.found, { hole, size, after: lane.lastAt, before: now }].filter(({ hole }) =>
          isLeft(hole)
        )
        lane.seen = { ...lane.seen, holes: lane.seen.holes.filter(isLeft) }
      } else if (verdict._tag === "Restarted" || verdict._tag === "SetBack") {
        const hole = { from: lane.start, to: begin }
        lane.found = rule.spansConnections ? [] : [{ hole, size: null, after: lane.lastAt, before: now }]
        lane.seen = { ...lane.seen, holes: [] }
        lane.start = verdict._tag === "SetBack" ? part.last : begin
        lane.isSetBack ||= verdict._tag === "SetBack"
      }
      lane.lastAt = now
      // It may be what the connection that counts has missed.
      if (rule.spansConnections && continuity.holes.length > 0) {
        const late = judge(rule.kind, continuity, part)
        if (late._tag !== "OutOfOrder") return
        stream.continuity = advance(continuity, part, late)
        report(stream, late, stream.lastMessageAt, now, false)
      }
    }

    /** The connection takes over a stream that is live on it: tells of what neither has delivered, and goes on from both. */
    const continueHere = ({ here, lane, stream }: Subscription, now: number): void => {
      const { continuity, rule } = stream
      const { found, seen } = lane
      // It has messages that are newer than those of the other one, under numbers that are not above.
      if (rule.spansConnections && seen.last < continuity.last && isLater(here.time, stream.newest)) {
        lane.isSetBack = true
      }
      const last = { ...seen, holes: seen.holes.slice(-maxHoles) }
      if (lane.isSetBack || !rule.spansConnections) {
        const doubts = lane.isSetBack
          ? [{ after: Math.min(stream.lastMessageAt, lane.firstAt), before: lane.lastAt }]
          : found
        for (const { after, before } of doubts) {
          const reason = lane.isSetBack ? "set back" : "reconnect"
          emit({ _tag: "Discontinuity", at: now, stream: stream.id, reason, after: timeOf(after), before })
        }
        stream.continuity = last
      } else {
        const missing = missingHere({ lane, stream })
        for (const hole of missing) {
          const known = found.find((other) => hole.from >= other.hole.from && hole.to <= other.hole.to)
          const times = known ?? {
            after: Math.min(stream.lastMessageAt, lane.firstAt),
            before: Math.max(stream.lastMessageAt, lane.firstAt)
          }
          reportGap(stream, gapOf(stream, hole, known), now, times)
        }
        stream.overlap = continuity.last > seen.last ? continuity.last : Number.NaN
        stream.continuity = Number.isNaN(continuity.last)
          ? last
          : {
              last: greatest(continuity.last, seen.last || continuity.last),
              holes: [...continuity.holes, ...missing].slice(-maxHoles),
              repeats: 0
            }
      }
      const goesOn = rule.spansConnections && !lane.isSetBack
      if (!goesOn || !(continuity.last >= seen.last)) stream.lastNewAt = lane.lastAt
      else if (continuity.last === seen.last) stream.lastNewAt = Math.min(lane.lastAt, stream.lastNewAt)
      if (!(here.time <= stream.newest)) stream.newest = here.time
      stream.lastMessageAt = Math.max(lane.lastAt, stream.lastMessageAt || 0)
    }

    /** The stream counts here now, whether it is live or not. */
    const takeOverHere = (subscription: Subscription, now: number): void => {
      const { answer, live, stream } = subscription
      subscription.counts = true
      forgetLane(subscription)
      restart(stream.watch)
      if (answer === "refused") stream.state = "refused"
      if (answer === "taken" && stream.connection !== null) stream.connection = id
      if (!live) {
        if (answer === "taken" && !stream.rule.spansConnections) stream.continuity = nothingSeen
        return
      }
      stream.connection = id
      stream.watch.live = true
      if (stream.unreadable === null) stream.state = "live"
      continueHere(subscription, now)
    }

    /** No other connection has to do with the stream any more. */
    const leave = ({ lane, stream }: Subscription): void => {
      unreadable.leave(stream)
      forgetLane({ lane, stream })
    }

    const forgetLane = ({ lane, stream }: Pick<Subscription, "lane" | "stream">): void => {
      if (stream.successor === lane) stream.successor = null
    }

    const reportGap = (
      stream: TrackedStream,
      { hole, size }: { readonly hole: Hole; readonly size: number | null },
      now: number,
      { after, before }: { readonly after: number; readonly before: number }
    ): void => {
      stream.gaps++
      emit({
        _tag: "GapDetected",
        at: now,
        stream: stream.id,
        rule: stream.rule.kind === "none" ? "counter" : stream.rule.kind,
        scope: "stream",
        ...numbersAround(stream.rule.kind, hole),
        size,
        after: timeOf(after),
        before
      })
    }

    /** `after` is when the message before came. */
    const report = (
      stream: TrackedStream,
      verdict: Verdict,
      after: number,
      now: number,
      resumed: boolean
    ): void => {
      switch (verdict._tag) {
        case "Gap":
          reportGap(stream, verdict, now, { after, before: now })
          return
        case "OutOfOrder":
          stream.outOfOrder++
          return
        case "Repeated":
          stream.repeated++
          return
        case "Restarted":
        case "SetBack":
          if (resumed) return
          emit({
            _tag: "Discontinuity",
            at: now,
            stream: stream.id,
            reason: verdict._tag === "Restarted" ? "snapshot" : "set back",
            after: timeOf(after),
            before: now
          })
          return
        case "Continues":
          return
      }
    }

    /** A frame of a connection that numbers all of its frames: whose message is missing cannot be known. */
    const count = (
      { last, previous }: { readonly previous: Integer; readonly last: Integer },
      sent: number | null | undefined,
      now: number
    ): Verdict => {
      const place = { previous, last, snapshot: false }
      const time = sent ?? null
      const verdict = judgeHere("counter", counter, place, counted, { time, newest: Number.NaN })
      const after = lastNewFrameAt
      counter = advance(counter, place, verdict)
      seeHere(counted, place, time, verdict)
      if (isNew(verdict)) lastNewFrameAt = now
      if (verdict._tag === "Continues" || verdict._tag === "Repeated") return verdict
      for (const { answer, stream } of subscriptions.values()) {
        if (stream.rule.scope !== "connection" || answer === "refused") continue
        // It was told to be missing of every stream.
        if (verdict._tag === "OutOfOrder") {
          stream.outOfOrder++
          continue
        }
        if (verdict._tag !== "Gap") {
          emit({
            _tag: "Discontinuity",
            at: now,
            stream: stream.id,
            reason: "set back",
            after: timeOf(after),
            before: now
          })
          continue
        }
        stream.gaps++
        emit({
          _tag: "GapDetected",
          at: now,
          stream: stream.id,
          rule: "counter",
          scope: "connection",
          ...numbersAround("counter", verdict.hole),
          size: verdict.size,
          after: timeOf(after),
          before: now
        })
      }
      return verdict
    }

    const noteRepeated = (stream: MarketStream): void => {
      const subscription = subscriptions.get(stream)
      if (subscription !== undefined) subscription.stream.repeated++
    }

    // ---- frames that cannot be used

    const skip = (frame: Malformed, bytes: Buffer, now: number): void => {
      if (!isAnybodys(frame)) {
        if (!former.has(frame.channel)) countSkipped(frame.reason)
        return
      }
      windowMalformed++
      countSkipped(frame.reason)
      const subscription = frame.stream === undefined ? undefined : subscriptions.get(frame.stream)
      if (subscription !== undefined && subscription.answer !== "taken") settle(subscription, now)
      if (!unreadable.add(frame, subscription?.stream, bytes, now, lastFrameAt)) unkept++
    }

    const countSkipped = (reason: SkipReason): void => {
      context.skipped.get(reason)?.unsafeUpdate(1, noTags)
      note(labelOf(reason))
    }

    const note = (what: string) => skipped.set(what, (skipped.get(what) ?? 0) + 1)

    // ---- answers

    const onControl = (frame: Exclude<Frame, { readonly _tag: "Data" | "Malformed" }>, now: number): void => {
      switch (frame._tag) {
        case "Acknowledged": {
          answered = true
          const request = frame.request === null ? undefined : pending.get(frame.request)
          const taken =
            request === undefined
              ? (frame.streams ?? [])
              : [...request.streams].filter((stream) => frame.streams?.includes(stream) ?? true)
          for (const stream of taken) {
            const subscription = subscriptions.get(stream)
            if (subscription !== undefined) settle(subscription, now)
          }
          if (frame.others === "dropped" && request !== undefined) askAgain([...request.streams])
          return
        }
        case "Refused": {
          answered = true
          onRefused(frame.request, frame.streams, frame.reason, frame.others === "dropped", now)
          return
        }
        case "Pong":
          pongs++
          pongSeconds = -1
          return
        case "Failed":
          fail(new ConnectionEnded({ kind: "error", reason: frame.reason }))
          return
        case "Closing":
          context.statuses.hear({ status: frame.status, text: frame.reason, isPassing: true }, now)
          askForSuccessor("replaced", `the exchange is closing: ${frame.reason}`)
          return
        case "Status":
          for (const said of frame.said) context.statuses.hear(said, now)
          return
        case "Heartbeat":
          return
      }
    }

    /** The exchange took the stream, or a frame shows that it did. */
    const settle = (subscription: Subscription, now: number): void => {
      const { stream } = subscription
      unpend(stream.id)
      if (subscription.answer === "taken") return
      subscription.answer = "taken"
      subscription.takenAt = now
      subscription.isTold = false
      if (stream.state === "connecting" || stream.state === "refused") stream.state = "subscribed"
      stream.refusals = 0
      becomeReady()
    }

    const hearControl = (): void => {
      heard = true
      heardAt = clock.unsafeNow()
    }

    /** Messages of the stream can be read, of which that was not known. */
    const tellHeard = (subscription: Subscription, now: number): void => {
      const { stream, takenAt } = subscription
      if (!subscription.isTold) {
        subscription.isTold = true
        const since = takenAt < now ? { since: takenAt } : {}
        emit({ _tag: "StreamConnected", at: now, stream: stream.id, connection: id, ...since })
      }
      if (stream.isToldSilent) {
        stream.isToldSilent = false
        emit({ _tag: "StreamHeard", at: now, stream: stream.id, after: timeOf(stream.lastMessageAt) })
      }
    }

    /** The stream ends here: nothing to tell of one whose begin was not told. */
    const reportEnd = (subscription: Subscription, end: ConnectionEnded, at: number): void => {
      const { isTold, stream } = subscription
      if (!isTold) return
      subscription.isTold = false
      stream.sureUntil = sureUntil(stream, heardAt)
      emit({
        _tag: "StreamDisconnected",
        at,
        stream: stream.id,
        connection: id,
        heard: heardAt,
        kind: end.kind,
        reason: end.reason,
        code: end.code ?? null
      })
    }

    const onRefused = (
      request: string | null,
      streams: ReadonlyArray<MarketStream>,
      reason: string,
      othersDropped: boolean,
      now: number
    ): void => {
      if (request === null && streams.length === 0 && pending.size !== 1) {
        // Of which request it is cannot be known.
        if (pending.size === 0 && clock.unsafeElapsed() - endedAt < answerSeconds * 1_000_000) {
          note(`a request was refused: ${reason}`)
        } else {
          fail(new ConnectionEnded({ kind: "error", reason }))
        }
        return
      }
      const entry =
        request === null
          ? Array.from(pending.values()).find(
              (entry) => streams.length === 0 || streams.some((stream) => entry.streams.has(stream))
            )
          : pending.get(request)
      const named = request === null ? streams : streams.filter((stream) => entry?.streams.has(stream))
      for (const stream of named) refuseStream(stream, reason, now)
      if (entry === undefined) {
        // Of a request that ends streams, or of nothing that is waited for.
        if (named.length === 0) note(`a request was refused: ${reason}`)
        return
      }
      if (!othersDropped) return
      const rest = [...entry.streams]
      if (named.length > 0) askAgain(rest)
      else if (rest.length === 1 || entry.indivisible) {
        for (const stream of rest) refuseStream(stream, reason, now)
      } else {
        // It does not say which: halves find out.
        askAgain(rest.slice(0, rest.length / 2))
        askAgain(rest.slice(rest.length / 2))
      }
    }

    const refuseStream = (streamId: MarketStream, reason: string, now: number): void => {
      const subscription = subscriptions.get(streamId)
      if (subscription === undefined) return
      const { counts, stream } = subscription
      unpend(streamId)
      reportEnd(subscription, new ConnectionEnded({ kind: "closed", reason }), now)
      subscription.answer = "refused"
      // The connection that keeps it has it all the same.
      if (primary && !counts) return
      const retryAt = now + refuse(stream, clock.unsafeElapsed())
      emit({ _tag: "SubscriptionRefused", at: now, stream: streamId, reason, retryAt })
      becomeReady()
      if (Array.from(subscriptions.values()).every(({ answer }) => answer === "refused")) {
        fail(new ConnectionEnded({ kind: "empty", reason: "every subscription was refused" }))
      }
    }

    /** Neither an answer nor data came. What was taken before, or had messages before, is watched for silence instead. */
    const stopWaiting = (streamId: MarketStream, now: number): void => {
      const subscription = subscriptions.get(streamId)
      if (subscription?.answer === "asked") {
        const { stream } = subscription
        if (exchange.acknowledges || stream.messages === 0) {
          refuseStream(streamId, `neither an answer nor data within ${answerSeconds} s`, now)
          return
        }
        subscription.answer = "assumed"
        stream.state = "subscribed"
        becomeReady()
      }
      unpend(streamId)
    }

    const unpend = (stream: MarketStream): void => {
      for (const [request, entry] of pending) {
        if (entry.streams.delete(stream) && entry.streams.size === 0) pending.delete(request)
      }
    }

    const askAgain = (streams: ReadonlyArray<MarketStream>): void => {
      for (const stream of streams) unpend(stream)
      if (streams.length > 0) change(streams, [])
    }

    const channelsOf = ({ channel, id }: TrackedStream): ReadonlyArray<string> => {
      const other = exchange.otherChannelOf?.(id)
      return other === undefined ? [channel] : [channel, other]
    }

    const becomeReady = (): void => {
      for (const { answer } of subscriptions.values()) if (answer === "asked") return
      Deferred.unsafeDone(ready, Effect.void)
    }

    // ---- what we send

    const change = (
      subscribe: ReadonlyArray<MarketStream>,
      unsubscribe: ReadonlyArray<MarketStream>
    ): void => {
      const all = Array.from(subscriptions.values())
        .filter(({ answer }) => answer !== "refused")
        .map(({ stream }) => stream.id)
      outbox.unsafeOffer({ subscribe, unsubscribe, all })
    }

    const add = (streams: ReadonlyArray<TrackedStream>, guests: ReadonlySet<TrackedStream>): void => {
      clock.unsafeNow()
      const elapsed = clock.unsafeElapsed()
      const isDue = (stream: TrackedStream) => stream.state !== "refused" || stream.retryAt <= elapsed
      for (const stream of streams) {
        byChannel.set(stream.channel, stream.id)
        for (const channel of channelsOf(stream)) former.delete(channel)
        subscriptions.set(stream.id, {
          stream,
          answer: isDue(stream) ? "asked" : "refused",
          takenAt: Number.NaN,
          isTold: false,
          live: false,
          reasked: makeReasked(),
          counts: primary && !guests.has(stream),
          here: makeSeenHere(stream.remembered),
          lane: {
            seen: nothingSeen,
            found: [],
            isSetBack: false,
            start: Number.NaN,
            firstAt: Number.NaN,
            lastAt: Number.NaN
          }
        })
        if (primary && !guests.has(stream)) restart(stream.watch)
      }
      change(
        streams.filter(isDue).map((stream) => stream.id),
        []
      )
    }

    const unsubscribe = (streams: ReadonlyArray<TrackedStream>, end: ConnectionEnded): void => {
      const now = clock.unsafeNow()
      for (const stream of streams) {
        const subscription = subscriptions.get(stream.id)
        if (subscription !== undefined) {
          reportEnd(subscription, end, now)
          leave(subscription)
        }
        for (const channel of channelsOf(stream)) former.add(channel)
        byChannel.delete(stream.channel)
        subscriptions.delete(stream.id)
        unpend(stream.id)
      }
      change(
        [],
        streams.map((stream) => stream.id)
      )
      becomeReady()
    }

    const ping = (): void => {
      const { every, ping } = exchange.keepalive
      pingDue = clock.unsafeElapsed() + Duration.toMillis(every) * 1000
      if (ping._tag === "None") return
      // It does not wait for its turn: quotas leave room for it.
      pacer.ping(monotonicMillis())
      if (ping._tag === "Text") connection.unsafeSend(ping.text)
      else connection.unsafePing()
      pings++
      if (pongSeconds < 0) pongSeconds = 0
    }

    const connection = yield* connect(context.url, {
      onMessage,
      onPing: () => {
        hearControl()
        pingsAnswered++
      },
      onPong: () => {
        hearControl()
        pongs++
        pongSeconds = -1
      }
    })
    openedAt = clock.unsafeNow()
    heardAt = openedAt
    const began = clock.unsafeElapsed()

    const send = (frame: string) =>
      Effect.suspend(() => Effect.sleep(pacer.reserve(monotonicMillis()))).pipe(
        Effect.zipRight(context.signer === undefined ? Effect.succeed(frame) : context.signer(frame)),
        Effect.flatMap(connection.send)
      )

    const expectRepeats = ({ repeated = [], streams }: Request): void => {
      const now = clock.unsafeNow()
      for (const stream of new Set([...streams, ...repeated])) {
        const subscription = subscriptions.get(stream)
        if (subscription === undefined) continue
        // The first state of one that is asked for the first time is no repetition.
        if (!repeated.includes(stream) && !subscription.live) continue
        reask(subscription.reasked, now)
      }
    }

    const sender = Effect.gen(function* () {
      for (const frame of exchange.opening) yield* send(frame)
      while (true) {
        const next = yield* Effect.orDie(outbox.take)
        // Those that were ended meanwhile are not asked for any more.
        const wanted = next.subscribe.filter((stream) => subscriptions.has(stream))
        if (wanted.length === 0 && next.unsubscribe.length === 0) continue
        for (const request of exchange.requests({ ...next, subscribe: wanted }, () => String(++requests))) {
          if (request.streams.length > 0) {
            pending.set(request.id, {
              streams: new Set(request.streams),
              indivisible: request.indivisible ?? false,
              seconds: Number.NEGATIVE_INFINITY
            })
          }
          expectRepeats(request)
          yield* send(request.frame)
          if (request.streams.length === 0) endedAt = clock.unsafeElapsed()
          const entry = pending.get(request.id)
          if (entry === undefined) continue
          entry.seconds = 0
          if (exchange.asksOneByOne === true) {
            yield* Effect.repeat(Effect.sleep("20 millis"), { while: () => pending.has(request.id) })
          }
        }
      }
    })

    // ---- once a second

    const lifetime =
      exchange.lifetime === undefined
        ? Number.POSITIVE_INFINITY
        : Duration.toMillis(exchange.lifetime) * 1000 * (yield* Random.nextRange(0.85, 0.97))
    let quietFor = 0
    let seconds = 0

    const onTick = (): ConnectionEnded | undefined => {
      const now = clock.unsafeNow()
      seconds++
      if (clock.unsafeElapsed() >= pingDue) ping()
      if (pongSeconds >= 0 && ++pongSeconds > Duration.toSeconds(exchange.keepalive.pongWithin)) {
        return new ConnectionEnded({ kind: "pong", reason: "a ping was not answered" })
      }
      quietFor = heard ? 0 : quietFor + 1
      heard = false
      if (quietFor >= Duration.toSeconds(exchange.idleTimeout)) {
        return new ConnectionEnded({ kind: "idle", reason: `nothing was heard for ${quietFor} s` })
      }
      if (windowFrames >= minFramesToJudge && windowMalformed > windowFrames / 2) {
        return new ConnectionEnded({
          kind: "unreadable",
          reason: `${windowMalformed} of ${windowFrames} frames could not be read`
        })
      }
      if (seconds % windowSeconds === 0) {
        windowFrames = 0
        windowMalformed = 0
      }
      if (clock.unsafeElapsed() - began >= lifetime) {
        askForSuccessor("replaced", "the lifetime of a connection is nearly over")
      }
      unreadable.tick()
      const end = checkAnswers(now)
      if (end === undefined && primary) checkStreams(now)
      return end
    }

    const checkAnswers = (now: number): ConnectionEnded | undefined => {
      for (const entry of pending.values()) {
        if (++entry.seconds < answerSeconds) continue
        if (exchange.acknowledges && !answered && !hadData) {
          return new ConnectionEnded({ kind: "unanswered", reason: "no subscription was answered" })
        }
        for (const stream of [...entry.streams]) stopWaiting(stream, now)
      }
      return undefined
    }

    const checkStreams = (now: number): void => {
      const millis = monotonicMillis()
      const watched: Array<TrackedStream> = []
      const due: Array<MarketStream> = []
      for (const subscription of subscriptions.values()) {
        const { answer, counts, stream } = subscription
        if (!counts) continue
        if (seconds % reportSeconds === 0) reportCounts(stream, now)
        if (answer === "taken" || answer === "assumed") watched.push(stream)
        if (answer === "refused" && clock.unsafeElapsed() >= stream.retryAt) {
          subscription.answer = "asked"
          due.push(stream.id)
        }
      }
      if (due.length > 0) change(due, [])
      silence.tick(watched.map(({ watch }) => watch))
      const silent = watched.filter(
        (stream) => silence.isSilent(stream.watch) && !isTalking(stream, millis, context.silenceTimeout)
      )
      if (silent.length === 0) return
      const stubborn = silent.filter(({ watch }) => watch.attempts % 2 === 1)
      const moved = isMoved(stubborn, watched.length) ? stubborn : []
      for (const stream of silent) {
        const { watch } = stream
        emit({
          _tag: "StreamSilent",
          at: now,
          stream: stream.id,
          seconds: Math.max(watch.quietFor, secondsSince(stream, now)),
          action: moved.includes(stream) ? "moved" : "resubscribed",
          isOpen: true
        })
        stream.isToldSilent = true
        stream.state = "silent"
        attempted(watch)
      }
      const again = silent.filter((stream) => !moved.includes(stream))
      // Without an end: what comes meanwhile would be lost.
      change(
        again.map((stream) => stream.id),
        []
      )
    }

    /**
     * Whether these, which were asked for again in vain, get another connection: all of the connection where nothing else has
     * come on it either, to the second.
     */
    const isMoved = (streams: ReadonlyArray<TrackedStream>, watched: number): boolean => {
      if (streams.length === 0) return false
      const isAll =
        streams.length === watched ||
        silence.quietFor() + 1 >= Math.min(...streams.map(({ watch }) => watch.quietFor))
      if (!isAll) return options.onMove(streams)
      askForSuccessor("silent", `${silentNames(streams)} fell silent`)
      return true
    }

    /** Since its last message, or since the exchange took it here: the watch's own seconds are late where the processor is busy. */
    const secondsSince = (stream: TrackedStream, now: number): number => {
      const takenAt = subscriptions.get(stream.id)?.takenAt
      const since = Math.max(stream.lastMessageAt || 0, takenAt || 0)
      return since === 0 ? 0 : Math.ceil((now - since) / 1000) / 1000
    }

    const reportCounts = (stream: TrackedStream, at: number): void => {
      if (stream.outOfOrder > 0) {
        emit({ _tag: "OutOfOrder", at, stream: stream.id, count: stream.outOfOrder })
        stream.outOfOrder = 0
      }
      if (stream.repeated > 0) {
        emit({ _tag: "Repeated", at, stream: stream.id, count: stream.repeated })
        stream.repeated = 0
      }
    }

    const ticker = Effect.gen(function* () {
      while (true) {
        yield* Effect.sleep("1 second")
        const end = onTick()
        yield* reportSkipped(skipped)
        if (unkept > 0) {
          const frames = unkept
          unkept = 0
          yield* Effect.annotateLogs(Effect.logError("frames that cannot be read were not kept"), {
            frames
          })
        }
        if (end !== undefined) return yield* end
      }
    })

    pingDue = began + Duration.toMillis(exchange.keepalive.every) * 1000
    emit({
      _tag: "ConnectionOpened",
      at: openedAt,
      exchange: exchange.name,
      connection: id,
      streams: options.streams.length
    })
    add(options.streams, options.guests)
    yield* Effect.addFinalizer(() => Effect.sync(() => subscriptions.forEach(leave)))
    const later = Effect.delay(Effect.forEach(exchange.later ?? [], send), "1 minute")
    yield* Effect.all([connection.ended, Deferred.await(failure), sender, later, ticker], {
      concurrency: "unbounded",
      discard: true
    }).pipe(
      Effect.catchAllCause((cause) => Deferred.failCause(failure, cause)),
      Effect.interruptible,
      Effect.forkScoped
    )
    yield* Deferred.await(failure).pipe(
      Effect.catchAllDefect((defect) =>
        Effect.fail(new ConnectionEnded({ kind: "closed", reason: `a defect: ${String(defect)}` }))
      ),
      Effect.flip,
      Effect.flatMap((end) => Deferred.succeed(ended, end)),
      Effect.interruptible,
      Effect.forkScoped
    )

    const session: Session = {
      id,
      ended: Deferred.await(ended),
      handover: Deferred.await(handover),
      ready: Deferred.await(ready),
      isCaughtUpBy: (other) =>
        Array.from(subscriptions.values()).every(({ live, stream }) => !live || other.continues(stream)),
      continues: (stream) => {
        const subscription = subscriptions.get(stream.id)
        return subscription?.live === true && missingHere(subscription).length === 0
      },
      subscribe: (streams) => add(streams, noGuests),
      subscribeGuests: (streams) => add(streams, new Set(streams)),
      unsubscribe,
      promote: () => {
        primary = true
        const now = clock.unsafeNow()
        for (const subscription of subscriptions.values()) takeOverHere(subscription, now)
      },
      adopt: (streams) => {
        const now = clock.unsafeNow()
        for (const stream of streams) {
          const subscription = subscriptions.get(stream.id)
          if (subscription !== undefined) takeOverHere(subscription, now)
        }
      },
      carries: (stream) => {
        const answer = subscriptions.get(stream.id)?.answer
        return answer === "taken" || answer === "assumed"
      },
      carried: () =>
        Array.from(subscriptions.values())
          .filter(({ answer, counts }) => answer === "taken" && (counts || !primary))
          .map(({ stream }) => stream),
      reportEnds: (end, at) => subscriptions.forEach((subscription) => reportEnd(subscription, end, at)),
      hadData: () => hadData,
      status: () => ({
        exchange: exchange.name,
        connection: id,
        streams: subscriptions.size,
        openedAt,
        heardAt,
        frames,
        pings,
        pongs,
        pingsAnswered
      })
    }
    return session
  })

const noTags: ReadonlyArray<never> = []
const noGuests: ReadonlySet<TrackedStream> = new Set()

/** Whether numbers tell what is missing before the first message of a connection: it goes on, or it is a gap. */
const isNumberedOn = ({ continuity, rule }: TrackedStream, part: Part): boolean => {
  if (rule.kind === "none" || rule.scope !== "stream" || !rule.spansConnections) return false
  if (part.snapshot || Number.isNaN(continuity.last) || Number.isNaN(part.last)) return false
  const { _tag } = judge(rule.kind, continuity, part)
  return _tag === "Continues" || _tag === "Gap"
}

/** What was seen of the frames of a connection when it begins. */
const beginOf = (rule: ContinuityRule | undefined): Continuity =>
  rule?.first === undefined ? nothingSeen : { ...nothingSeen, last: rule.first - 1 }

/** What neither the connection before has delivered, so far, nor the one that is to take over. */
const missingHere = ({
  lane,
  stream: { continuity, rule }
}: Pick<Subscription, "lane" | "stream">): ReadonlyArray<Hole> => {
  if (rule.kind === "none" || rule.scope !== "stream" || !rule.spansConnections || lane.isSetBack) return []
  if (Number.isNaN(lane.start)) return []
  const from = Number.isNaN(continuity.last) ? lane.start : continuity.last
  return missingOn(lane, { from, to: lane.seen.last })
}

/** A gap that is left of one that was found, with its size if it is all of it. */
const gapOf = (
  { rule }: TrackedStream,
  hole: Hole,
  found: { readonly hole: Hole; readonly size: number | null } | undefined
) => ({
  _tag: "Gap" as const,
  hole,
  size: found?.hole.from === hole.from && found.hole.to === hole.to ? found.size : sizeOf(rule.kind, hole)
})

const silentNames = (streams: ReadonlyArray<TrackedStream>): string => {
  const names = streams.slice(0, 3).map((stream) => streamKey(stream.id))
  return streams.length > names.length
    ? `${names.join(", ")} and ${streams.length - names.length} more`
    : names.join(", ")
}

/** Once a second at most: how many frames were skipped, and why. */
const reportSkipped = (reasons: Map<string, number>) =>
  Effect.suspend(() => {
    if (reasons.size === 0) return Effect.void
    const skipped = Object.fromEntries(
      Array.from(reasons, ([reason, count]) => [reason.replaceAll(" ", "_"), count])
    )
    reasons.clear()
    return Effect.logWarning("frames were skipped").pipe(Effect.annotateLogs(skipped))
  })
