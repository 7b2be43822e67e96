import { FastCheck } from "effect"
import type { Heard, JournalEntry, JournalEvent, ReceivingEvent } from "../../src/domain/JournalEvent.ts"
import { makeUnsettled } from "../../src/domain/makeUnsettled.ts"
import { applyToNeeded, neededIds, noneNeeded } from "../../src/domain/NeededEntries.ts"
import { type StreamId, streamKey } from "../../src/domain/StreamId.ts"
import { makeForgottenEvents } from "../../src/ingest/ForgottenEvents.ts"
import { book, newYear, trade } from "../support/snapshots.ts"

/** A journal that was archived in parts, and what its database has of it. */
export interface ModelJournal {
  readonly parts: ReadonlyArray<ReadonlyArray<JournalEntry>>
  /** All that is in the database: what is older is kept as far as it is needed. */
  readonly database: ReadonlyArray<JournalEntry>
  /** What a reader of the database sees beside the entries; none if no process uses it. */
  readonly life: Extract<JournalEvent, { _tag: "ProcessAlive" }> | undefined
}

/** What a collector did, and which messages nobody has. */
export interface Model {
  /** One after the other: a database that was lost is followed by a new one. */
  readonly journals: ReadonlyArray<ModelJournal>
  readonly lost: ReadonlyArray<{ readonly stream: StreamId; readonly at: number }>
}

const second = 1_000_000
const silentAfter = 4
const calm = 3
const idleAfter = 5

const repeat = <A>(times: number, step: A): ReadonlyArray<A> => Array.from({ length: times }, () => step)

const steps = [
  ...repeat(12, "both"),
  ...repeat(3, "book"),
  ...repeat(3, "trade"),
  ...repeat(2, "nothing"),
  "lose",
  "mute",
  "garble book",
  "garble trade",
  "garble half",
  "die",
  "close",
  "hand over",
  "drop",
  "flush",
  ...repeat(5, "commit"),
  ...repeat(4, "archive"),
  "kill",
  "kill in a cycle",
  "kill, with no clock after it",
  "set the clock",
  "stop",
  "step back",
  "step forward",
  "overflow",
  "prune",
  "lose the database",
  ...repeat(2, "reload")
] as const
type Step = (typeof steps)[number]

interface Stream {
  readonly id: StreamId
  /** Whether its numbers go on over connections. */
  readonly isNumbered: boolean
  number: number
  last: { number: number; at: number } | undefined
  connection: string | undefined
  quiet: number
  isSilent: boolean
  unreadable: { after: number | null; ownAt: number; readAt: number | undefined } | undefined
  /** The last message of an earlier process. */
  before: { number: number; at: number } | undefined
  isMuted: boolean
  /** Since when it has been recorded; undefined while MARKETS does not have it. */
  since: number | undefined
}

interface Connection {
  readonly name: string
  readonly since: number
  readonly told: Set<Stream>
  heard: number
  /** The same by the clock that nobody sets. */
  heardTime: number
  isDead: boolean
  age: number
}

/** A collector of two streams, one whose numbers prove what is missing, and one without numbers. */
const run = (script: ReadonlyArray<readonly [Step, number]>): Model => {
  let time = 0
  let offset = 0
  /** What the clock would be ahead, while a machine has none that is set. */
  let unset: number | undefined
  const clock = () => newYear + (time + offset) * second
  const trueClock = () => newYear + (time + (unset ?? offset)) * second
  const lost: Array<{ readonly stream: StreamId; readonly at: number }> = []
  /** Before the first message of a stream nothing is said to be missing. */
  const lose = ({ before, id, last }: Stream) => {
    if (before !== undefined || last !== undefined) lost.push({ stream: id, at: trueClock() })
  }
  const journals: Array<ModelJournal> = []

  // The database.
  let entries: Array<JournalEntry> = []
  let parts: Array<ReadonlyArray<JournalEntry>> = []
  let archived = 0
  let pruned = 0
  let committed = new Map<StreamId, { number: number; at: number }>()
  let counts: Array<{ stream: StreamId; at: number }> = []
  let row: { process: string | null; lastSeen: number; heard: Heard | undefined } = {
    process: null,
    lastSeen: 0,
    heard: undefined
  }
  // The process.
  let lives = 0
  let connections: Array<Connection> = []
  let names = 0
  let streams: ReadonlyArray<Stream> = []
  let waiting: Array<ReceivingEvent> = []
  let forgotten = makeForgottenEvents()
  let isFull = false
  let isStepUntold = false
  let received: Array<{ stream: Stream; number: number; at: number; trueAt: number }> = []

  const journal = (event: JournalEvent, at = clock()) =>
    entries.push({
      id: entries.length + 1,
      at: "at" in event && event.at !== undefined ? event.at : at,
      event
    })
  const unsettled = () => {
    const open = makeUnsettled()
    for (const { event } of entries) open.add(event)
    return open.now()
  }
  const condition = () => ({
    ...(row.heard === undefined ? {} : { heard: row.heard }),
    unsettled: unsettled()
  })
  const newStream = (id: StreamId, isNumbered: boolean, number: number): Stream => ({
    id,
    isNumbered,
    number,
    last: undefined,
    connection: undefined,
    quiet: 0,
    isSilent: false,
    unreadable: undefined,
    before: committed.get(id),
    isMuted: false,
    since: 0
  })
  const start = () => {
    const previous =
      row.process === null ? null : { process: row.process, lastSeen: row.lastSeen, ...condition() }
    const process = `p${++lives}`
    journal({ _tag: "ProcessStarted", at: clock(), process, server: "s", version: "1", previous })
    row = { process, lastSeen: clock(), heard: undefined }
    waiting = [{ _tag: "RecordingStarted", at: clock(), streams: [book, trade] }]
    forgotten = makeForgottenEvents()
    isFull = false
    received = []
    connections = []
    const numbers = new Map(streams.map(({ id, number }) => [id, number]))
    streams = [
      newStream(book, true, numbers.get(book) ?? 0),
      newStream(trade, false, numbers.get(trade) ?? 0)
    ]
  }
  const connect = () =>
    connections.push({
      name: `c${++names}`,
      since: clock(),
      told: new Set(),
      heard: clock(),
      heardTime: time,
      isDead: false,
      age: 0
    })
  const disconnect = (connection: Connection) => {
    connections = connections.filter((other) => other !== connection)
    for (const stream of connection.told) tellEnd(connection, stream)
  }
  const tellEnd = ({ heard, name }: Connection, { id }: Stream) =>
    tell({
      _tag: "StreamDisconnected",
      at: clock(),
      stream: id,
      connection: name,
      heard,
      kind: "closed",
      reason: "",
      code: null
    })
  const heardNow = (): Heard => Object.fromEntries(connections.map(({ heard, name }) => [name, heard]))
  const tell = (event: ReceivingEvent) => (isFull ? forgotten.add(event) : waiting.push(event))
  const flush = () => {
    for (const event of [...waiting, ...forgotten.take()]) journal(event)
    waiting = []
    isFull = false
    isStepUntold = false
  }
  const beat = () => {
    flush()
    if (received.length === 0) row = { ...row, lastSeen: Math.max(row.lastSeen, clock()), heard: heardNow() }
  }
  const commit = () => {
    flush()
    for (const { at, number, stream } of received) {
      committed.set(stream.id, { number, at })
      counts.push({ stream: stream.id, at })
      row = { ...row, lastSeen: Math.max(row.lastSeen, at + 1) }
    }
    if (received.length > 0) row = { ...row, heard: heardNow() }
    received = []
  }
  const tellCounts = () => {
    for (const stream of [book, trade]) {
      const own = counts.filter((count) => count.stream === stream)
      const hours = new Map<number, Array<number>>()
      for (const { at } of own) {
        const hour = Math.floor(at / 3_600_000_000)
        hours.set(hour, [...(hours.get(hour) ?? []), at])
      }
      for (const [hour, times] of hours) {
        journal({
          _tag: "MessagesCommitted",
          stream,
          hour,
          messages: times.length,
          first: Math.min(...times),
          last: Math.max(...times)
        })
      }
    }
    counts = []
  }
  const archive = (isKilledWithin: boolean) => {
    const life: JournalEvent | undefined =
      row.process === null
        ? undefined
        : { _tag: "ProcessAlive", process: row.process, lastSeen: row.lastSeen, ...condition() }
    tellCounts()
    if (isKilledWithin) return
    if (life !== undefined) journal(life)
    parts.push(entries.slice(archived))
    const firstId = archived + 1
    archived = entries.length
    const plan = { archiveId: `a${firstId}`, date: "2026-01-01", firstId, lastId: archived, key: "k" }
    journal({ _tag: "JournalSegmentPlanned", plan })
    journal({ _tag: "JournalSegmentArchived", archiveId: plan.archiveId })
  }
  const prune = () => {
    pruned = archived
  }
  const database = () => {
    const needed = neededIds(entries.reduce(applyToNeeded, noneNeeded))
    return entries.flatMap((entry): ReadonlyArray<JournalEntry> => {
      if (entry.id > pruned) return [entry]
      return needed.has(entry.id) ? [{ ...entry, isKept: true }] : []
    })
  }
  const endJournal = (isLost: boolean) => {
    journals.push({
      parts,
      database: isLost ? [] : database(),
      life:
        isLost || row.process === null
          ? undefined
          : { _tag: "ProcessAlive", process: row.process, lastSeen: row.lastSeen, ...condition() }
    })
    const gone = isLost ? counts : []
    for (const { at, stream } of gone) lost.push({ stream, at })
  }
  /** What was received and not committed is lost. */
  const kill = () => {
    // Of a clock that was set back nobody knows before that is told.
    if (isStepUntold) flush()
    for (const { stream, trueAt } of received) lost.push({ stream: stream.id, at: trueAt })
    received = []
    waiting = []
    forgotten = makeForgottenEvents()
    connections = []
  }

  const read = (stream: Stream, connection: Connection, number: number) => {
    const at = clock()
    if (!connection.told.has(stream)) {
      connection.told.add(stream)
      const { name } = connection
      const since = Math.max(connection.since, stream.since ?? 0)
      tell({
        _tag: "StreamConnected",
        at,
        stream: stream.id,
        connection: name,
        ...(since < at ? { since } : {})
      })
    }
    if (stream.isSilent) {
      stream.isSilent = false
      tell({ _tag: "StreamHeard", at, stream: stream.id, after: stream.last?.at ?? null })
    }
    if (stream.unreadable !== undefined) stream.unreadable.readAt ??= at
    const last = stream.last ?? stream.before
    const around = { after: last?.at ?? null, before: at }
    if (last !== undefined && stream.isNumbered && number > last.number + 1) {
      tell({
        _tag: "GapDetected",
        at,
        stream: stream.id,
        rule: "counter",
        scope: "stream",
        expected: last.number + 1,
        received: number,
        size: number - last.number - 1,
        ...around
      })
    } else if (last !== undefined && !stream.isNumbered && stream.connection !== connection.name) {
      tell({ _tag: "Discontinuity", at, stream: stream.id, reason: "reconnect", ...around })
    }
    stream.connection = connection.name
    stream.last = { number, at }
    stream.quiet = 0
    received.push({ stream, number, at, trueAt: trueClock() })
  }
  const garble = (stream: Stream) => {
    const at = clock()
    if (stream.unreadable === undefined) {
      const after = stream.last?.at ?? null
      stream.unreadable = { after, ownAt: time, readAt: undefined }
      tell({ _tag: "StreamUnreadable", at, stream: stream.id, reason: "compressed", after })
    } else {
      stream.unreadable = { ...stream.unreadable, ownAt: time, readAt: undefined }
    }
    stream.quiet = 0
  }
  /** The exchange sends a message. */
  const send = (stream: Stream, how: "whole" | "lost" | "garbled" | "dropped") => {
    const number = ++stream.number
    const alive = connections.filter(({ isDead }) => !isDead)
    const [connection] = alive
    if (stream.since === undefined || connection === undefined || how === "lost" || stream.isMuted) {
      lose(stream)
      return
    }
    if (how === "garbled") {
      lose(stream)
      garble(stream)
      return
    }
    read(stream, connection, number)
    for (const other of alive.slice(1)) {
      if (other.told.has(stream)) continue
      other.told.add(stream)
      tell({
        _tag: "StreamConnected",
        at: clock(),
        stream: stream.id,
        connection: other.name,
        since: Math.max(other.since, stream.since)
      })
    }
    if (how === "dropped") {
      received = received.filter((message) => message.stream !== stream || message.number !== number)
      lose(stream)
      tell({ _tag: "MessagesDropped", stream: stream.id, count: 1, first: clock(), last: clock() })
    }
  }
  const tick = () => {
    for (const connection of [...connections]) {
      connection.age++
      if (!connection.isDead) {
        connection.heard = clock()
        connection.heardTime = time
      } else if (time - connection.heardTime >= idleAfter) disconnect(connection)
    }
    const [first, next] = connections
    if (first !== undefined && next !== undefined && next.age > 2) disconnect(first)
    if (connections.length === 0) connect()
    for (const stream of streams) {
      const { id, unreadable } = stream
      if (stream.since === undefined) continue
      if (unreadable?.readAt !== undefined && time - unreadable.ownAt >= calm) {
        const { after, readAt } = unreadable
        tell({ _tag: "StreamReadable", at: readAt, stream: id, frames: 1, kept: 1, after })
        stream.unreadable = undefined
      }
      if (++stream.quiet < silentAfter || stream.quiet % silentAfter > 0) continue
      if (!connections.some(({ told }) => told.has(stream))) continue
      stream.isSilent = true
      tell({
        _tag: "StreamSilent",
        at: clock(),
        stream: id,
        seconds: stream.quiet,
        action: "resubscribed",
        isOpen: true
      })
    }
  }
  /** Takes a stream out of MARKETS, or puts it in again, without a restart. */
  const reload = (stream: Stream) => {
    const isEnded = stream.since !== undefined
    stream.since = isEnded ? undefined : clock()
    for (const connection of connections) {
      if (isEnded && connection.told.delete(stream)) tellEnd(connection, stream)
    }
    stream.unreadable = undefined
    stream.isSilent = false
    stream.quiet = 0
    const [named, ended] = isEnded ? [[], [stream.id]] : [[stream.id], []]
    tell({ _tag: "SettingsReloaded", at: clock(), named, matched: [], ended })
  }
  const restart = (pause: number) => {
    for (let n = 0; n < pause; n++) {
      time++
      for (const stream of streams) {
        stream.number++
        lose(stream)
      }
    }
    start()
  }

  start()
  for (const [step, n] of script) {
    time++
    tick()
    const [a, b] = streams
    if (a === undefined || b === undefined) break
    switch (step) {
      case "both":
        send(a, "whole")
        send(b, "whole")
        break
      case "book":
        send(a, "whole")
        break
      case "trade":
        send(b, "whole")
        break
      case "lose":
        send(a, "lost")
        break
      case "mute":
        b.isMuted = true
        break
      case "garble book":
        send(a, "garbled")
        break
      case "garble trade":
        send(b, "garbled")
        break
      case "garble half":
        for (let i = 0; i < n + 3; i++) {
          send(b, i % 2 === 0 ? "garbled" : "whole")
          if (i % 3 === 2) commit()
          time++
          tick()
        }
        break
      case "die":
        for (const connection of connections) connection.isDead = true
        break
      case "close":
        for (const connection of connections) disconnect(connection)
        break
      case "hand over":
        connect()
        break
      case "drop":
        send(a, "dropped")
        break
      case "flush":
        beat()
        break
      case "commit":
        commit()
        break
      case "archive":
        commit()
        archive(false)
        break
      case "kill":
        kill()
        restart(n)
        break
      case "kill in a cycle":
        archive(true)
        kill()
        restart(n)
        break
      case "kill, with no clock after it":
        kill()
        unset ??= offset
        offset = -newYear / second
        restart(n)
        break
      case "set the clock": {
        if (unset === undefined) break
        const from = clock()
        offset = unset
        unset = undefined
        tell({ _tag: "ClockStepped", at: clock(), from, to: clock() })
        isStepUntold = true
        if (!isFull) flush()
        break
      }
      case "stop": {
        for (const connection of [...connections]) disconnect(connection)
        commit()
        beat()
        journal({
          _tag: "ProcessStopped",
          process: row.process ?? "",
          lastSeen: row.lastSeen,
          ...condition()
        })
        row = { ...row, process: null }
        restart(n)
        break
      }
      case "step back":
      case "step forward": {
        const from = clock()
        offset += step === "step back" ? -5 * n : 7 * n
        tell({ _tag: "ClockStepped", at: clock(), from, to: clock() })
        isStepUntold = true
        if (!isFull) flush()
        break
      }
      case "overflow":
        isFull = true
        break
      case "prune":
        prune()
        break
      case "reload":
        reload(n % 3 === 0 ? a : b)
        break
      case "lose the database":
        kill()
        endJournal(true)
        entries = []
        parts = []
        archived = 0
        pruned = 0
        committed = new Map()
        counts = []
        row = { process: null, lastSeen: 0, heard: undefined }
        restart(n)
        break
      default:
        break
    }
  }
  commit()
  endJournal(false)
  return { journals, lost }
}

/** The key of a stream and of its messages that are lost. */
export const lostOf = ({ lost }: Model, stream: StreamId): ReadonlyArray<number> =>
  lost.flatMap((each) => (streamKey(each.stream) === streamKey(stream) ? [each.at] : []))

/** What collectors did that were killed, whose connections and exchanges failed, and whose clocks were set. */
export const models = (
  options: { readonly without?: ReadonlyArray<Step> } = {}
): FastCheck.Arbitrary<Model> =>
  FastCheck.array(
    FastCheck.tuple(
      FastCheck.constantFrom(...steps.filter((step) => options.without?.includes(step) !== true)),
      FastCheck.integer({ min: 1, max: 9 })
    ),
    { minLength: 5, maxLength: 100, size: "max" }
  ).map(run)
