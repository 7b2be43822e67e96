import { Option } from "effect"
import { type FrameHistory, makeFrameHistory } from "./History.ts"
import type { Protocol, Source } from "./Protocol.ts"
import type { Recording } from "./Recording.ts"

/** The market data of a server. Makes the messages of every stream that has listeners and sends them out. */
export interface Feed {
  /** Sends the stream's messages to the listener from now on. Does nothing if there is no such stream. */
  readonly join: (stream: string, listener: Listener) => void
  readonly leave: (stream: string, listener: Listener) => void
  /** Sends the listener the snapshot that a new one gets first. */
  readonly greet: (stream: string, listener: Listener) => void
  /** Continues sending, after a listener took its backlog or is no longer silent. */
  readonly wake: () => void
  readonly stop: () => void
  readonly status: () => Readonly<{ [stream: string]: StreamStatus }>

  /** Faults of streams. Each returns the number of streams that it found. */
  readonly burst: (stream: string | undefined, count: number) => number
  readonly skip: (stream: string | undefined, count: number) => number
  readonly rewind: (stream: string | undefined, count: number) => number
  readonly repeatNow: (stream: string | undefined, count: number) => number
  readonly repeatToNext: (stream: string | undefined, count: number) => number
  /** Cancels pending faults. */
  readonly heal: () => void
}

/** A receiver of the messages of a stream. */
export interface Listener {
  /** Whether to neither send to it nor wait for it. `now` is in milliseconds, monotonic. */
  readonly isSilent: (now: number) => boolean
  /** How many bytes wait to be sent. */
  readonly backlog: () => number
  /** Takes a message, the first `length` bytes of `bytes`. It is sent by the next `flush`. */
  readonly send: (bytes: Buffer, length: number) => void
  readonly flush: () => void
  /** Called for a message that this listener does not get, because it was skipped for all or the listener is silent. */
  readonly missed: (why: "skipped" | "silent") => void
}

export interface StreamStatus {
  /** How many distinct messages went to at least one connection. */
  readonly messages: number
  /** How many frames were sent over all connections, duplicates included. */
  readonly frames: number
  /** How many frames were sent again. */
  readonly duplicates: number
  /** How many messages were made but not sent to anyone. */
  readonly withheld: number
  /** How many snapshots were sent to new listeners; not counted as messages. */
  readonly snapshots: number
  /** Sequence ids of the first and the newest message sent; null until there is one. */
  readonly firstId: string | null
  readonly lastId: string | null
}

export interface FeedOptions {
  /** Messages per second of each stream; Infinity for as fast as its slowest listener can take them. */
  readonly rate: number
  /** Whether a stream's market continues at its rate while nobody listens to it. */
  readonly idle: "advance" | "wait"
  /** How many messages of each stream are kept to be sent again. */
  readonly history: number
  readonly record: Recording
  /** Milliseconds since the epoch. */
  readonly clock: () => number
}

export const makeFeed = (source: Protocol["source"], options: FeedOptions): Feed => {
  const { rate, record } = options
  const perMillisecond = rate / 1000
  const channels = new Map<string, Channel>()
  const active = new Set<Channel>()
  let timer: NodeJS.Timeout | undefined
  let immediate: NodeJS.Immediate | undefined
  let stopped = false

  const wake = (): void => {
    if (stopped || immediate !== undefined) return
    clearTimeout(timer)
    immediate = setImmediate(turn)
  }

  return {
    join: (name, listener) => {
      const channel = find(name)
      if (channel === undefined) return
      channel.listeners.add(listener)
      channel.fresh.add(listener)
      if (channel.repeatToNext > 0) {
        channel.repeats.push({ count: channel.repeatToNext, to: listener })
        channel.repeatToNext = 0
      }
      active.add(channel)
      wake()
    },
    leave: (name, listener) => {
      const channel = channels.get(name)
      if (channel === undefined || !channel.listeners.delete(listener) || channel.listeners.size > 0) return
      active.delete(channel)
      channel.pausedAt = performance.now()
      channel.source.pause()
    },
    greet: (name, listener) => {
      channels.get(name)?.fresh.add(listener)
      wake()
    },
    wake,
    stop: () => {
      stopped = true
      clearTimeout(timer)
      clearImmediate(immediate)
    },
    status: () =>
      Object.fromEntries(
        Array.from(
          channels,
          ([name, { duplicates, firstId, frames, lastId, messages, snapshots, withheld }]) => [
            name,
            { messages, frames, duplicates, withheld, snapshots, firstId, lastId }
          ]
        )
      ),
    burst: (stream, count) =>
      each(stream, (channel) => {
        channel.extra += count
      }),
    skip: (stream, count) =>
      each(stream, (channel) => {
        channel.skips += count
      }),
    rewind: (stream, count) => each(stream, (channel) => channel.source.rewind?.(count)),
    repeatNow: (stream, count) =>
      each(stream, (channel) => {
        if (channel.listeners.size > 0) channel.repeats.push({ count, to: undefined })
      }),
    repeatToNext: (stream, count) =>
      each(stream, (channel) => {
        channel.repeatToNext = count
      }),
    heal: () => {
      for (const channel of channels.values()) {
        channel.skips = 0
        channel.repeatToNext = 0
      }
      wake()
    }
  }

  function find(name: string): Channel | undefined {
    const known = channels.get(name)
    if (known !== undefined) return known
    const made = Option.getOrUndefined(
      Option.map(source(name), (source) => makeChannel(name, source, options.history))
    )
    if (made !== undefined) channels.set(name, made)
    return made
  }

  function each(stream: string | undefined, act: (channel: Channel) => void): number {
    const chosen =
      stream === undefined
        ? [...channels.values()]
        : [find(stream)].filter((channel) => channel !== undefined)
    chosen.forEach(act)
    wake()
    return chosen.length
  }

  /** Sends the messages that are due, taking one from each stream in turn, and schedules the next turn. */
  function turn(): void {
    immediate = undefined
    const now = performance.now()
    const time = options.clock()
    for (const channel of active) {
      start(channel, now)
      for (const listener of channel.fresh) greet(channel, listener, now, time)
      channel.fresh.clear()
      for (const { count, to } of channel.repeats.splice(0)) repeat(channel, count, to, now)
    }
    let budget = messagesPerTurn
    let progress = true
    while (progress && budget > 0) {
      progress = false
      for (const channel of active) {
        if (owed(channel, now) < 1 || !canTake(channel, now)) continue
        deliver(channel, now, time)
        progress = true
        budget--
      }
    }
    for (const channel of active) for (const listener of channel.listeners) listener.flush()
    if (progress) wake()
    else plan(now)
  }

  function greet(channel: Channel, listener: Listener, now: number, time: number): void {
    const text = channel.source.snapshot?.(time)
    if (text === undefined || !channel.listeners.has(listener) || listener.isSilent(now)) return
    const bytes = Buffer.from(text)
    listener.send(bytes, bytes.length)
    channel.snapshots++
  }

  /** Starts the clock of a channel that has listeners again. */
  function start(channel: Channel, now: number): void {
    if (channel.pausedAt === null) return
    const missed =
      options.idle === "advance" && Number.isFinite(rate) && !Number.isNaN(channel.pausedAt)
        ? Math.floor((now - channel.pausedAt) * perMillisecond)
        : 0
    channel.source.resume(missed)
    channel.pausedAt = null
    channel.origin = now
    channel.made = 0
  }

  /** How many messages are due. A market that was held up for more than a second catches up on one second only. */
  function owed(channel: Channel, now: number): number {
    if (rate === Number.POSITIVE_INFINITY) return rate
    const due = Math.floor((now - channel.origin) * perMillisecond) - channel.made
    const most = Math.max(1, rate)
    if (due > most) channel.made += Math.floor(due - most)
    return Math.min(due, most) + channel.extra
  }

  /** Whether no listener is too far behind. At full speed there must be a listener to set the pace. */
  function canTake(channel: Channel, now: number): boolean {
    if (record.isClogged()) return false
    let heard = Number.isFinite(rate)
    for (const listener of channel.listeners) {
      if (listener.isSilent(now)) continue
      if (listener.backlog() > maxBacklogBytes) return false
      heard = true
    }
    return heard
  }

  function deliver(channel: Channel, now: number, time: number): void {
    const message = channel.source.next(time)
    if (channel.extra > 0) channel.extra--
    else channel.made++
    if (channel.skips > 0) {
      channel.skips--
      channel.withheld++
      for (const listener of channel.listeners) listener.missed("skipped")
      return
    }
    let frames = 0
    for (const listener of channel.listeners) {
      if (listener.isSilent(now)) {
        listener.missed("silent")
        continue
      }
      listener.send(message.bytes, message.length)
      frames++
    }
    if (frames === 0) {
      channel.withheld++
      return
    }
    channel.messages++
    channel.frames += frames
    channel.firstId ??= message.id
    channel.lastId = message.id
    channel.history.push(message.bytes, message.length)
    record.append(channel.name, message.id, message.bytes, message.length)
  }

  function repeat(channel: Channel, count: number, to: Listener | undefined, now: number): void {
    const listeners = to === undefined ? channel.listeners : [to]
    channel.history.forNewest(count, (bytes, length) => {
      for (const listener of listeners) {
        if (!channel.listeners.has(listener) || listener.isSilent(now)) continue
        listener.send(bytes, length)
        channel.frames++
        channel.duplicates++
      }
    })
  }

  /** Sleeps until the next message is due; without a rate or without listeners, until `wake` is called. */
  function plan(now: number): void {
    if (active.size === 0 || !Number.isFinite(rate)) return
    let next = Number.POSITIVE_INFINITY
    for (const channel of active) next = Math.min(next, channel.origin + (channel.made + 1) / perMillisecond)
    clearTimeout(timer)
    timer = setTimeout(turn, Math.max(1, Math.ceil(next - now)))
  }
}

/** Large enough to make a system call worthwhile, small enough not to hold up the event loop. */
const messagesPerTurn = 512
const maxBacklogBytes = 1024 * 1024

/** A stream, from the first request for it. */
interface Channel {
  readonly name: string
  readonly source: Source
  readonly listeners: Set<Listener>
  /** Listeners to which nothing was sent yet. */
  readonly fresh: Set<Listener>
  readonly history: FrameHistory
  /** When its last listener left; null while it has any, NaN before the first. Monotonic milliseconds, as `origin`. */
  pausedAt: number | null
  /** The time from which its messages count against the rate, and how many there were since. */
  origin: number
  made: number
  /** Messages to send at once, on top of the rate. */
  extra: number
  skips: number
  repeatToNext: number
  readonly repeats: Array<{ readonly count: number; readonly to: Listener | undefined }>
  messages: number
  frames: number
  duplicates: number
  withheld: number
  snapshots: number
  firstId: string | null
  lastId: string | null
}

const makeChannel = (name: string, source: Source, history: number): Channel => ({
  name,
  source,
  listeners: new Set(),
  fresh: new Set(),
  history: makeFrameHistory(history),
  pausedAt: Number.NaN,
  origin: 0,
  made: 0,
  extra: 0,
  skips: 0,
  repeatToNext: 0,
  repeats: [],
  messages: 0,
  frames: 0,
  duplicates: 0,
  withheld: 0,
  snapshots: 0,
  firstId: null,
  lastId: null
})
