import { Chunk, HashMap, Option, Schema } from "effect"
import { dateOf } from "./Archive.ts"
import { applyToClock, ClockMeasurements, isAboutClock, noClockMeasurements } from "./ClockMeasurements.ts"
import { forgetOutside } from "./Coverage/during.ts"
import { endOfJournal } from "./Coverage/ending.ts"
import { beginJournal } from "./Coverage/journals.ts"
import { type Coverage, doubtReasons, noCoverage, type StreamCoverage } from "./Coverage/state.ts"
import { applyToCoverage } from "./Coverage.ts"
import { GapDetected } from "./ExchangeEvent.ts"
import { applyToStatuses, type ExchangeStatuses, isAboutStatus, noStatuses } from "./ExchangeStatuses.ts"
import { Heard, type JournalEntry } from "./JournalEvent.ts"
import { StreamId } from "./StreamId.ts"
import { lastingReasons } from "./Unsettled.ts"

/** Raised when the fold comes to other states than before: checkpoints of other versions are not taken, and made anew. */
const checkpointVersion = 3

/**
 * What a journal says of the recording, as of one of its entries, for who asks of a time from then on: the fold over the
 * entries up to it, without what ended before. Who has it need not read what came before it.
 */
export interface CoverageCheckpoint {
  readonly version: typeof checkpointVersion
  /** Names the journal. */
  readonly journal: string
  /** What the last entry says, as `textOf` has it: a database with another entry of that id is not the same any more. */
  readonly lastText: string
  /**
   * From this time on, microseconds, it tells all: that of the latest entry, or of the latest message that was counted, if that
   * is later because the clock was set back. No archive that was planned before it has messages from this time on.
   */
  readonly until: number
  /** What is known of the wall clock, by UTC date, of the dates that are not over. */
  readonly clock: ReadonlyMap<string, ClockMeasurements>
  /** What exchanges say of themselves since before. */
  readonly statuses: ExchangeStatuses["current"]
  readonly coverage: Coverage
}

/** All that an entry says, to be compared. */
export const textOf = ({ at, payload }: { readonly at: number; readonly payload: string }): string =>
  `${at} ${payload}`

/** Of a journal without entries. */
export const emptyCheckpoint = (journal: string): CoverageCheckpoint => ({
  version: checkpointVersion,
  journal,
  lastText: "",
  until: 0,
  clock: new Map(),
  statuses: noStatuses.current,
  coverage: noCoverage
})

/** The checkpoint as of the last of these entries, whose text is `lastText`; with all that ended before it. */
export const advanced = (
  { clock, coverage, statuses, until, ...rest }: CoverageCheckpoint,
  entries: ReadonlyArray<JournalEntry>,
  lastText: string
): CoverageCheckpoint => {
  const evidence = new Map(clock)
  for (const { at, event } of entries) {
    if (!isAboutClock(event)) continue
    const date = dateOf(at)
    evidence.set(date, applyToClock(evidence.get(date) ?? noClockMeasurements, event))
  }
  return {
    ...rest,
    lastText,
    until: entries.reduce(
      (latest, { at, event }) =>
        Math.max(latest, at, event._tag === "MessagesCommitted" ? event.last + 1 : 0),
      until
    ),
    clock: evidence,
    statuses: entries
      .filter(({ event }) => isAboutStatus(event))
      .reduce(applyToStatuses, { ...noStatuses, current: statuses }).current,
    coverage: entries.reduce(applyToCoverage, coverage)
  }
}

/** Without what ended before `until`. */
export const shortened = ({ clock, coverage, ...rest }: CoverageCheckpoint): CoverageCheckpoint => {
  const { until } = rest
  const kept = forgetOutside(coverage, { from: until, to: Number.POSITIVE_INFINITY })
  return {
    ...rest,
    clock: new Map(Array.from(clock).filter(([date]) => date >= dateOf(until))),
    coverage: { ...kept, missing: Chunk.filter(kept.missing, ({ to }) => to >= until) }
  }
}

/**
 * The journal goes on under another name behind the entry `after`, since its database was restored from a copy. What the
 * checkpoint knows of times is in the journal before, which is read by itself.
 */
export const inNewEpoch = (
  { coverage, ...rest }: CoverageCheckpoint,
  journal: string,
  after: number
): CoverageCheckpoint => ({
  ...rest,
  journal,
  clock: new Map(),
  statuses: noStatuses.current,
  coverage: forgetOutside(beginJournal(endOfJournal(coverage), { after, goesBack: true }), {
    from: Number.POSITIVE_INFINITY,
    to: Number.POSITIVE_INFINITY
  })
})

/** The state from which the entries after the checkpoint go on, where `before` is what earlier journals of the server say. */
export const resumed = (before: Coverage, { coverage }: CoverageCheckpoint): Coverage => ({
  ...coverage,
  missing: Chunk.appendAll(before.missing, coverage.missing),
  streams: HashMap.reduce(coverage.streams, before.streams, (all, of, key) =>
    HashMap.set(all, key, HashMap.has(all, key) ? joined(HashMap.unsafeGet(all, key), of) : of)
  )
})

const joined = (before: StreamCoverage, of: StreamCoverage): StreamCoverage => ({
  ...of,
  wanted: {
    from: Math.min(before.wanted.from, of.wanted.from),
    to: Math.max(before.wanted.to, of.wanted.to)
  },
  unwanted: Chunk.appendAll(before.unwanted, of.unwanted),
  connected: Chunk.appendAll(before.connected, of.connected),
  gaps: Chunk.appendAll(before.gaps, of.gaps),
  drops: Chunk.appendAll(before.drops, of.drops),
  doubts: Chunk.appendAll(before.doubts, of.doubts),
  messages: HashMap.reduce(of.messages, before.messages, (sum, messages, hour) =>
    HashMap.modifyAt(sum, hour, (known) => Option.some(Option.getOrElse(known, () => 0) + messages))
  ),
  lastMessageAt: Math.max(before.lastMessageAt, of.lastMessageAt),
  begunAt: Option.orElse(Option.zipWith(before.begunAt, of.begunAt, Math.min), () =>
    Option.orElse(before.begunAt, () => of.begunAt)
  )
})

const Span = { from: Schema.Number, to: Schema.Number }

/** JSON has no infinity. */
const Messages = Schema.transform(Schema.NullOr(Schema.Number), Schema.Number, {
  strict: true,
  decode: (count) => count ?? Number.POSITIVE_INFINITY,
  encode: (count) => (count === Number.POSITIVE_INFINITY ? null : count)
})

const StreamCoverageText = Schema.Struct({
  stream: StreamId,
  wanted: Schema.Struct(Span),
  unwanted: Schema.Chunk(Schema.Struct(Span)),
  isWanted: Schema.Boolean,
  isNamed: Schema.Boolean,
  delistedAt: Schema.OptionFromNullOr(Schema.Number),
  connected: Schema.Chunk(Schema.Struct({ ...Span, process: Schema.Number })),
  open: Schema.HashMap({ key: Schema.String, value: Schema.Number }),
  messages: Schema.HashMap({ key: Schema.Number, value: Schema.Number }),
  gaps: Schema.Chunk(
    Schema.Struct({
      ...Span,
      size: Schema.NullOr(Schema.Number),
      rule: GapDetected.fields.rule,
      scope: GapDetected.fields.scope,
      expected: GapDetected.fields.expected,
      received: GapDetected.fields.received
    })
  ),
  drops: Schema.Chunk(Schema.Struct({ ...Span, count: Schema.Number })),
  doubts: Schema.Chunk(Schema.Struct({ ...Span, reason: Schema.Literal(...doubtReasons) })),
  unsureSince: Schema.OptionFromNullOr(Schema.Number),
  lastMessageAt: Schema.Number,
  begunAt: Schema.OptionFromNullOr(Schema.Number),
  noneSince: Schema.OptionFromNullOr(Schema.Number),
  unarchived: Schema.Array(Schema.Struct({ from: Schema.Number, messages: Messages })),
  uncounted: Schema.Number,
  lasting: Schema.HashMap({ key: Schema.Literal(...lastingReasons), value: Schema.Number })
})

const MaybeHeard = Schema.transform(Schema.NullOr(Heard), Schema.UndefinedOr(Heard), {
  strict: true,
  decode: (heard) => heard ?? undefined,
  encode: (heard) => heard ?? null
})

const Statuses = Schema.HashMap({
  key: Schema.String,
  value: Schema.Struct({
    exchange: Schema.String,
    subject: Schema.NullOr(Schema.String),
    status: Schema.String,
    text: Schema.NullOr(Schema.String),
    from: Schema.Number
  })
})

const State = Schema.Struct({
  streams: Schema.HashMap({ key: Schema.String, value: StreamCoverageText }),
  process: Schema.Number,
  lastSeen: Schema.Number,
  heard: MaybeHeard,
  through: Schema.Number,
  lastId: Schema.Number,
  missingSince: Schema.OptionFromNullOr(Schema.Number),
  missing: Schema.Chunk(Schema.Struct(Span)),
  unsureSince: Schema.OptionFromNullOr(Schema.Number),
  archivedBefore: Schema.optionalWith(Schema.OptionFromNullOr(Schema.Number), {
    default: () => Option.none()
  }),
  archives: Schema.HashMap({
    key: Schema.String,
    value: Schema.Struct({
      stream: Schema.String,
      rows: Schema.Number,
      // Those of before the order of archives counted have none.
      firstId: Schema.optionalWith(Schema.Number, { default: () => 0 }),
      end: Schema.optionalWith(Schema.Literal("purged", "given up"), { exact: true })
    })
  })
})

/** A checkpoint as text, JSON. */
export const CheckpointText: Schema.Schema<CoverageCheckpoint, string> = Schema.parseJson(
  Schema.Struct({
    version: Schema.Literal(checkpointVersion),
    journal: Schema.String,
    lastText: Schema.String,
    until: Schema.Number,
    clock: Schema.ReadonlyMap({ key: Schema.String, value: ClockMeasurements }),
    // Those of before exchanges were listened to have none.
    statuses: Schema.optionalWith(Statuses, { default: () => noStatuses.current }),
    coverage: State
  })
)
