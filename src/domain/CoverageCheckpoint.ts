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

/** Raised whenever the fold produces different states: checkpoints of other versions are discarded and rebuilt. */
const checkpointVersion = 4

/**
 * What a journal says about the recording, as of one of its entries, for queries about any time from then on: the fold over the
 * entries up to it, without what ended before it. A reader that has it need not read the entries before it.
 */
export interface CoverageCheckpoint {
  readonly version: typeof checkpointVersion
  /** Names the journal. */
  readonly journal: string
  /**
   * The text of the last entry, as `textOf` returns it: a database with a different entry under that id is not the same any more.
   */
  readonly lastText: string
  /**
   * The time, microseconds, from which it is complete: that of the latest entry, or of the latest counted message, if that is
   * later because the clock was set back. No archive planned before the checkpoint has messages from this time on.
   */
  readonly until: number
  /** What is known of the wall clock, by UTC date, for the dates that are not over. */
  readonly clock: ReadonlyMap<string, ClockMeasurements>
  /** The status messages of exchanges that are still in effect. */
  readonly statuses: ExchangeStatuses["current"]
  readonly coverage: Coverage
}

/** Returns the full text of an entry, for comparison. */
export const entryText = ({ at, payload }: { readonly at: number; readonly payload: string }): string =>
  `${at} ${payload}`

/** The checkpoint of a journal without entries. */
export const emptyCheckpoint = (journal: string): CoverageCheckpoint => ({
  version: checkpointVersion,
  journal,
  lastText: "",
  until: 0,
  clock: new Map(),
  statuses: noStatuses.current,
  coverage: noCoverage
})

/**
 * Advances the checkpoint to the last of these entries, whose text is `lastText`; it still contains everything that ended before
 * it.
 */
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

/** Removes what ended before `until`. */
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
 * Continues the checkpoint in a journal that goes on under another name behind the entry `after`, because its database was
 * restored from a copy. What the checkpoint knows of times is in the previous journal, which is read separately.
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

/**
 * Returns the state from which the entries after the checkpoint continue; `before` is what earlier journals of the server say.
 */
export const resumed = (before: Coverage, { coverage }: CoverageCheckpoint): Coverage => ({
  ...coverage,
  missing: Chunk.appendAll(before.missing, coverage.missing),
  streams: HashMap.reduce(coverage.streams, before.streams, (all, continued, key) =>
    HashMap.set(
      all,
      key,
      HashMap.has(all, key) ? joinedStreams(HashMap.unsafeGet(all, key), continued) : continued
    )
  )
})

const joinedStreams = (before: StreamCoverage, after: StreamCoverage): StreamCoverage => ({
  ...after,
  wanted: {
    from: Math.min(before.wanted.from, after.wanted.from),
    to: Math.max(before.wanted.to, after.wanted.to)
  },
  unwanted: Chunk.appendAll(before.unwanted, after.unwanted),
  connected: Chunk.appendAll(before.connected, after.connected),
  gaps: Chunk.appendAll(before.gaps, after.gaps),
  drops: Chunk.appendAll(before.drops, after.drops),
  doubts: Chunk.appendAll(before.doubts, after.doubts),
  messages: HashMap.reduce(after.messages, before.messages, (sum, messages, hour) =>
    HashMap.modifyAt(sum, hour, (known) => Option.some(Option.getOrElse(known, () => 0) + messages))
  ),
  lastMessageAt: Math.max(before.lastMessageAt, after.lastMessageAt),
  begunAt: Option.orElse(Option.zipWith(before.begunAt, after.begunAt, Math.min), () =>
    Option.orElse(before.begunAt, () => after.begunAt)
  )
})

const Span = { from: Schema.Number, to: Schema.Number }

/** JSON has no infinity: null stands for it. */
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
      // Checkpoints from before archives were ordered have none.
      firstId: Schema.optionalWith(Schema.Number, { default: () => 0 }),
      end: Schema.optionalWith(Schema.Literal("purged", "given up"), { exact: true })
    })
  })
})

/** A checkpoint as JSON text. */
export const CheckpointText: Schema.Schema<CoverageCheckpoint, string> = Schema.parseJson(
  Schema.Struct({
    version: Schema.Literal(checkpointVersion),
    journal: Schema.String,
    lastText: Schema.String,
    until: Schema.Number,
    clock: Schema.ReadonlyMap({ key: Schema.String, value: ClockMeasurements }),
    // Checkpoints from before status messages were recorded have none.
    statuses: Schema.optionalWith(Statuses, { default: () => noStatuses.current }),
    coverage: State
  })
)
