import { crc32 } from "node:zlib"
import { Duration, Effect, Logger, LogLevel, Schedule } from "effect"
import type { ExchangeEvent } from "../../src/domain/ExchangeEvent.ts"
import { type MarketStream, type StreamId, streamKey } from "../../src/domain/StreamId.ts"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { ExchangeStream } from "../../src/exchange/ExchangeStream.ts"
import { ReceiveClock } from "../../src/exchange/ReceiveClock.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import type { Fault } from "../../src/simulator/Fault.ts"
import type { ClientSession, MarketOptions, Protocol, Source } from "../../src/simulator/Protocol.ts"
import { protocols } from "../../src/simulator/protocols.ts"
import { makeRandom, type Random } from "../../src/simulator/random.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"

/** What a soak found. */
export interface SoakOutcome {
  readonly messages: number
  readonly faults: Readonly<Record<string, number>>
  readonly gaps: number
  /** Differences between the holes that were made and the gaps that were recorded: none, if all is well. */
  readonly differences: ReadonlyArray<string>
  readonly violations: ReadonlyArray<string>
}

/**
 * Records all simulated exchanges at once while they misbehave at random, and compares every gap that was recorded with the
 * holes that the simulators made. Only what is on the wire is known to the collector: a hole at a reconnect shows where the
 * numbers are the exchange's own, and on other streams as a discontinuity. Nothing is refused, so no refusal may be
 * recorded; and every discontinuity needs what made it: the end of a connection that was not replaced, or a request to send
 * a stream anew.
 */
export const soak = (options: { readonly seconds: number; readonly seed: number }) =>
  Effect.gen(function* () {
    const random = makeRandom(options.seed)
    const truths = new Map<string, Truth>()
    const simulators = new Map<Venue, Simulator.Simulator>()
    for (const venue of venues) {
      const name = venue.exchange.name
      const protocol = protocols.get(venue.protocol)
      if (protocol === undefined) continue
      const truth = makeTruth()
      truths.set(name, truth)
      simulators.set(
        venue,
        yield* Simulator.make({
          exchange: venue.protocol,
          protocol: (market) => observed(protocol.make, market, truth),
          symbols: protocol.symbols.slice(0, 2),
          rate: venue.rate,
          idle: "wait",
          history: 50
        })
      )
    }
    const streamsOf = ({ exchange, protocol }: Venue) =>
      (protocols.get(protocol)?.symbols ?? [])
        .slice(0, 2)
        .flatMap((symbol) =>
          exchange.dataTypes.map((dataType): MarketStream => ({ exchange: exchange.name, symbol, dataType }))
        )
    const streams = venues.flatMap(streamsOf)
    const rows = new Map<StreamId, Array<Row>>(streams.map((id) => [id, []]))
    const events: Array<ExchangeEvent> = []
    let messages = 0
    const recorders = yield* Effect.forEach(simulators, ([venue, simulator]) =>
      Effect.gen(function* () {
        const { exchange, silenceTimeout } = venue
        const stream = yield* Effect.provide(
          ExchangeStream,
          ExchangeStream.layer({
            exchanges: new Map([[exchange.name, withStatusSoon(exchange)]]),
            streams: streams.filter((id) => id.exchange === exchange.name),
            endpoints: new Map([[exchange.name, new URL(simulator.url())]]),
            silenceTimeout
          })
        ).pipe(Effect.provide(ReceiveClock.layer))
        yield* stream
          .runForEach(
            (snapshot) => {
              messages++
              rows.get(snapshot.stream)?.push({
                id: snapshot.exchangeSequenceId,
                key: keyOf(payloadOf(snapshot.stream.exchange, snapshot.data)),
                at: snapshot.timestamp
              })
            },
            (event) => void events.push(event)
          )
          .pipe(Logger.withMinimumLogLevel(LogLevel.None), Effect.forkScoped)
        return stream
      })
    )

    const faults: Record<string, number> = {}
    const misbehave = (venue: Venue, simulator: Simulator.Simulator) =>
      Effect.gen(function* () {
        yield* Effect.sleep("2 seconds")
        while (true) {
          const names = Object.keys((yield* simulator.status).streams)
          const { fault, rest } = venue.anyFault(random, names)
          faults[fault._tag] = (faults[fault._tag] ?? 0) + 1
          yield* simulator.inject(fault)
          yield* Effect.sleep(rest)
          // Unanswered pings would go on for ever.
          if (fault._tag === "nopong") yield* simulator.heal
        }
      })
    yield* Effect.forEach(simulators, ([venue, simulator]) => misbehave(venue, simulator), {
      concurrency: "unbounded",
      discard: true
    }).pipe(Effect.timeoutOption(Duration.seconds(options.seconds)))
    yield* Effect.forEach(simulators.values(), (simulator) => simulator.heal)
    yield* Effect.sleep("8 seconds")
    const silent = Effect.map(
      Effect.forEach(recorders, (stream) => stream.status),
      (statuses) => statuses.flat().filter((stream) => stream.state !== "live")
    )
    // The oftener frames could not be read, the longer it takes until they are believed to be over: up to 5 minutes.
    yield* silent.pipe(
      Effect.repeat({
        while: (left) => left.length > 0 && left.every((stream) => stream.state === "unreadable"),
        schedule: Schedule.spaced("1 second")
      }),
      Effect.timeoutOption("6 minutes")
    )

    const gaps = events.filter((event) => event._tag === "GapDetected")
    const differences = streams.flatMap((id) => {
      const truth = truths.get(id.exchange)
      const exchange = venues.find((venue) => venue.exchange.name === id.exchange)?.exchange
      if (truth === undefined || exchange === undefined) return []
      const recorded = gaps.filter((gap) => gap.stream === id)
      const rule = exchange.continuity(id.dataType)
      if (rule.kind === "none") return recorded.map(() => `${streamKey(id)}: a gap that nothing proves`)
      if (rule.scope === "connection") return []
      return compare(
        streamKey(id),
        holesIn(rows.get(id) ?? [], truth.made, id.dataType === "orderbook_diff" ? rule.kind : undefined),
        recorded.map((gap) => `${gap.after} ${gap.before}`)
      )
    })
    // A frame that a connection lost is told of every stream on it.
    const ofConnections = Array.from(truths, ([name, truth]) => {
      const recorded = gaps.filter((gap) => gap.scope === "connection" && gap.stream.exchange === name)
      return compare(
        `${name} (connections)`,
        truth.connectionHoles.map((hole) => `${hole.expected}+${hole.size}`),
        [...new Set(recorded.map((gap) => `${gap.at} ${gap.expected}+${gap.size}`))].map(
          (text) => text.split(" ")[1] ?? ""
        )
      )
    }).flat()
    const statuses = yield* Effect.forEach(simulators, ([venue, simulator]) =>
      Effect.map(simulator.status, (status) => ({ name: venue.exchange.name, status }))
    )
    return {
      messages,
      faults,
      gaps: gaps.length,
      differences: [
        ...differences,
        ...ofConnections,
        ...refusals(events),
        ...needless(events),
        ...streams.flatMap((id) => open(events, id)),
        ...(yield* silent).map((stream) => `${streamKey(stream)} is ${stream.state} in the end`)
      ],
      violations: statuses.flatMap(({ name, status }) =>
        Object.entries(status.violations).map(([rule, count]) => `${name}: ${rule} ${count}`)
      )
    } satisfies SoakOutcome
  }).pipe(Effect.scoped)

/** An exchange of the soak. */
interface Venue {
  readonly exchange: Exchange
  /** The simulated exchange behind it. */
  readonly protocol: string
  /** Messages per second of each stream. */
  readonly rate: number
  readonly silenceTimeout: Duration.Duration
  readonly anyFault: typeof anyFault
}

/** Nothing was refused. */
const refusals = (events: ReadonlyArray<ExchangeEvent>): ReadonlyArray<string> =>
  events.flatMap((event) =>
    event._tag === "SubscriptionRefused" ? [`${streamKey(event.stream)}: refused, "${event.reason}"`] : []
  )

/** Discontinuities that nothing made. */
const needless = (events: ReadonlyArray<ExchangeEvent>): ReadonlyArray<string> =>
  events.flatMap((event) => {
    if (event._tag !== "Discontinuity") return []
    const { after, reason, stream } = event
    const isMade = events.some((other) =>
      reason === "reconnect"
        ? other._tag === "StreamDisconnected" &&
          other.stream === stream &&
          other.kind !== "replaced" &&
          other.at >= (after ?? 0) &&
          other.at <= event.at
        : // Where a request is the whole list, it begins every stream of the connection anew.
          other._tag === "StreamSilent" &&
          other.stream.exchange === stream.exchange &&
          other.at > event.at - 2_000_000 &&
          other.at <= event.at
    )
    return isMade ? [] : [`${streamKey(stream)}: a discontinuity, "${reason}", that nothing made`]
  })

/** What is wrong with the connections of a stream: it is on one in the end, and left every other one that it was on. */
const open = (events: ReadonlyArray<ExchangeEvent>, id: MarketStream): ReadonlyArray<string> => {
  const connections: Array<string> = []
  for (const event of events) {
    if (event._tag === "StreamConnected" && event.stream === id) connections.push(event.connection)
    if (event._tag !== "StreamDisconnected" || event.stream !== id) continue
    const at = connections.indexOf(event.connection)
    if (at < 0) return [`${streamKey(id)}: left a connection that it was not on`]
    connections.splice(at, 1)
  }
  return connections.length === 1 ? [] : [`${streamKey(id)}: on ${connections.length} connections in the end`]
}

/** A message as it arrived. */
interface Row {
  readonly id: string
  readonly key: string
  /** Microseconds. */
  readonly at: number
}

/** What a simulated exchange knows. */
interface Truth {
  /** The place of every message that was made, among those of its stream, by its payload; a snapshot's is that of the newest. */
  readonly made: Map<string, number>
  /** Numbers of connections that were left out before others that were sent. */
  readonly connectionHoles: Array<{ readonly expected: number; readonly size: number }>
}

const makeTruth = (): Truth => ({ made: new Map(), connectionHoles: [] })

/** A protocol that notes what it makes. */
const observed = (
  make: (market: MarketOptions) => Protocol,
  market: MarketOptions,
  truth: Truth
): Protocol => {
  const protocol = make(market)
  return {
    ...protocol,
    connect: (url) => {
      const session = protocol.connect(url)
      return session._tag === "Right" ? { ...session, right: observedSession(session.right, truth) } : session
    },
    source: (stream) => {
      const source = protocol.source(stream)
      return source._tag === "Some" ? { ...source, value: observedSource(source.value, truth) } : source
    }
  }
}

const observedSource = (source: Source, truth: Truth): Source => {
  let place = 0
  const { snapshot } = source
  return {
    ...source,
    next: (now) => {
      const message = source.next(now)
      truth.made.set(keyOf(message.bytes.subarray(0, message.length)), ++place)
      return message
    },
    ...(snapshot === undefined
      ? {}
      : {
          snapshot: (now: number) => {
            const text = snapshot(now)
            truth.made.set(keyOf(Buffer.from(text)), place)
            return text
          }
        })
  }
}

/** Notes where numbers are left out between those that are sent. */
const observedSession = (session: ClientSession, truth: Truth): ClientSession => {
  let last = -1
  const note = (text: string): void => {
    const number = Number(/"sequence_num":(\d+)/.exec(text)?.[1] ?? Number.NaN)
    if (Number.isNaN(number)) return
    if (number > last + 1) {
      truth.connectionHoles.push({ expected: last + 1, size: number - last - 1 })
    }
    last = number
  }
  const { heartbeat } = session
  return {
    ...session,
    envelope: (stream) => {
      const envelope = session.envelope(stream)
      note(Buffer.from(envelope.before).toString())
      return envelope
    },
    receive: (text, peer, system) => {
      const answers = session.receive(text, peer, system)
      for (const answer of answers) note(answer)
      return answers
    },
    closingNotice: (now) => {
      const notice = session.closingNotice(now)
      note(notice)
      return notice
    },
    ...(heartbeat === undefined
      ? {}
      : {
          heartbeat: (now: number) => {
            const frame = heartbeat(now)
            if (frame !== undefined) note(frame)
            return frame
          }
        })
  }
}

/**
 * Where messages are missing between those that arrived, as the receive times before and after, of those that came twice the first. Places are those among the
 * messages made; of diffs the ids that they span, because the book goes on without them.
 */
const holesIn = (
  rows: ReadonlyArray<Row>,
  made: ReadonlyMap<string, number>,
  ruleOfDiff: "counter" | "range" | "chain" | undefined
): ReadonlyArray<string> => {
  const holes: Array<string> = []
  let newest = Number.NaN
  let before = 0
  for (const { at, id, key } of rows) {
    const place = made.get(key) ?? Number.NaN
    const [from = place, last = place] = ruleOfDiff === undefined ? [] : id.split("-").map(Number)
    // The first number of a diff is its own, or the last one of the diff before it.
    const first = ruleOfDiff === "chain" ? from + 1 : from
    if (id.startsWith("snapshot")) newest = last
    else if (Number.isNaN(newest) || last > newest) {
      if (first > newest + 1) holes.push(`${before} ${at}`)
      newest = last
    } else continue
    before = at
  }
  return holes
}

/** Differences of two lists, whatever their order. */
const compare = (
  what: string,
  expected: ReadonlyArray<string>,
  found: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const rest = [...found]
  const missing = expected.filter((item) => {
    const at = rest.indexOf(item)
    if (at >= 0) rest.splice(at, 1)
    return at < 0
  })
  return [
    ...missing.map((item) => `${what}: hole ${item} was not recorded`),
    ...rest.map((item) => `${what}: gap ${item} is none`)
  ]
}

const keyOf = (payload: Uint8Array): string => `${payload.length} ${crc32(payload)}`

const eventsMember = Buffer.from('"events":[')

/** What the simulator made, without what the connection adds. */
const payloadOf = (exchange: string, data: Uint8Array): Uint8Array => {
  if (exchange !== "coinbase") return data
  const start = Buffer.from(data).indexOf(eventsMember) + eventsMember.length
  return data.subarray(start, -2)
}

/** With times that a short run can wait for. */
const impatient = (exchange: Exchange): Exchange => ({
  ...exchange,
  keepalive: { ...exchange.keepalive, every: Duration.seconds(2), pongWithin: Duration.seconds(2) },
  idleTimeout: Duration.seconds(4)
})

/**
 * A fault, and how long the exchange behaves after it. What was made to be lost just before the end of a connection, or while
 * another one takes over, could not be told from what the end itself lost.
 */
const anyFault = (
  random: Random,
  names: ReadonlyArray<string>
): { readonly fault: Fault; readonly rest: Duration.Duration } => {
  const upTo = (count: number) => 1 + Math.floor(random() * count)
  const [stream] = names.length === 0 ? [""] : [names[Math.floor(random() * names.length)] ?? ""]
  const soon = Duration.millis(400 + upTo(800))
  const later = Duration.millis(3500 + upTo(1000))
  const what = random()
  if (what < 0.35) return { fault: { _tag: "skip", stream, count: upTo(5) }, rest: soon }
  if (what < 0.45) return { fault: { _tag: "duplicates", count: upTo(20), stream }, rest: soon }
  if (what < 0.5) return { fault: { _tag: "duplicates", count: upTo(10), when: "reconnect" }, rest: soon }
  if (what < 0.6) return { fault: { _tag: "garbage", count: upTo(10) }, rest: soon }
  if (what < 0.68) return { fault: { _tag: "burst", count: 20 * upTo(10), stream }, rest: soon }
  if (what < 0.74) return { fault: { _tag: "silence", stream, for: 200 * upTo(8) }, rest: later }
  if (what < 0.78) return { fault: { _tag: "silence", stream }, rest: Duration.seconds(8) }
  if (what < 0.82) return { fault: { _tag: "silence", for: 200 * upTo(8) }, rest: later }
  if (what < 0.84) return { fault: { _tag: "silence" }, rest: Duration.seconds(9) }
  if (what < 0.86) return { fault: { _tag: "nopong" }, rest: Duration.seconds(7) }
  if (what < 0.9) return { fault: { _tag: "shutdown" }, rest: later }
  if (what < 0.94) return { fault: { _tag: "close", code: 1012, reason: "service restart" }, rest: later }
  if (what < 0.97) return { fault: { _tag: "terminate" }, rest: later }
  return { fault: { _tag: "refuse", for: 1000 * upTo(3) }, rest: soon }
}

/** Exchanges that announce that they close connections, so quiet that streams say nothing while another one takes over. */
const quiet = ["binance", "okx"]

/** What the exchange says of itself is listened to for most of the time. */
const withStatusSoon = (exchange: Exchange): Exchange =>
  exchange.statusFeed === undefined
    ? exchange
    : { ...exchange, statusFeed: { ...exchange.statusFeed, after: Duration.seconds(3) } }

const venues: ReadonlyArray<Venue> = Array.from(exchanges.values()).flatMap((exchange) => [
  {
    exchange: impatient(exchange),
    protocol: exchange.name,
    rate: 20,
    silenceTimeout: Duration.seconds(3),
    anyFault
  },
  ...(quiet.includes(exchange.name)
    ? [
        {
          exchange: { ...exchange, name: `quiet-${exchange.name}` },
          protocol: exchange.name,
          rate: 1 / 7,
          silenceTimeout: Duration.seconds(60),
          anyFault: () => ({ fault: { _tag: "shutdown" as const }, rest: Duration.seconds(9) })
        }
      ]
    : [])
])
