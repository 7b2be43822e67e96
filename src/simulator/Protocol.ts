import type { Duration, Either, Option } from "effect"
import type { Listed } from "./listing.ts"

/** What every simulated market is made from. */
export interface MarketOptions {
  /** The same seed and the same subscriptions give the same payloads, times apart. */
  readonly seed: number
  /** The symbols that exist, as the exchange spells them; they may change. Streams of others do not exist. */
  readonly symbols: ReadonlySet<string>
  /** Whole-book messages of at least about this many bytes, by longer quantities; 0 for their natural size. */
  readonly bookBytes: number
  /** Milliseconds since the epoch. */
  readonly clock: () => number
}

/** So many within a time. */
export interface Quota {
  readonly count: number
  readonly per: Duration.Duration
}

/** Of messages that a client sends. */
export interface MessageQuota extends Quota {
  /** Whether it counts only requests, and no pings. */
  readonly requestsOnly?: boolean
}

/**
 * An exchange's public WebSocket protocol, as the server side speaks it. The server does the rest: listening, pacing,
 * fan-out, keepalive, faults.
 */
export interface Protocol {
  readonly name: string
  /** The path that clients connect to by default. */
  readonly path: string
  /** Messages a client may send, protocol pings and pongs included; one more closes the connection. */
  readonly messages: ReadonlyArray<MessageQuota>
  /** Whether they are counted for each connection or for all together. */
  readonly messagesOf: "connection" | "address"
  /** Attempts to connect within a time; one more is refused. */
  readonly connections: Quota
  /** Whether data and answers are binary frames. */
  readonly binary: boolean
  /** Protocol pings that the server sends and within what time it wants the pong; null if it sends none. */
  readonly keepalive: { readonly pingEvery: Duration.Duration; readonly pongWithin: Duration.Duration } | null
  /** A connection from which nothing came for so long is closed; also a new one. */
  readonly idle: Duration.Duration | null
  readonly firstMessageWithin: Duration.Duration | null
  /** How often every session is asked for a heartbeat; null if there are none. */
  readonly heartbeatEvery: Duration.Duration | null
  /** The list of what is traded, over HTTP. */
  readonly instruments: {
    readonly path: string
    readonly list: (symbols: ReadonlyArray<Listed>, query: URLSearchParams) => unknown
  }
  /** Opens a session for the URL of an upgrade request, or refuses the upgrade. */
  readonly connect: (url: URL) => Either.Either<Session, UpgradeRefused>
  /** The source of a stream, made once per stream and server; none if it does not exist. */
  readonly source: (stream: string) => Option.Option<Source>
}

export interface UpgradeRefused {
  /** HTTP status. */
  readonly status: number
  readonly reason: string
}

/** The protocol state of one connection. */
export interface Session {
  /** Streams that the URL asked for. */
  readonly streams: ReadonlyArray<string>
  /** What the server says first. `system` is what the exchange says of itself. */
  readonly greeting?: (system: ExchangeSays) => string
  /** Acts on a text message of the client and returns the answers, in order. Never throws. */
  readonly receive: (text: string, peer: Peer, system: ExchangeSays) => ReadonlyArray<string>
  /** What goes around a message of the stream. Called once for each message sent. */
  readonly envelope: (stream: string) => Envelope
  /** A frame that no client should choke on; `stream` is one that the connection is subscribed to. */
  readonly garbage: (kind: GarbageKind, stream: string) => string | Uint8Array
  /** Tells the client that the server is going to close. `now` in milliseconds since the epoch. */
  readonly closingNotice: (now: number) => string
  /** Tells that the exchange says something else of itself; undefined where this client is not told. */
  readonly says?: (system: ExchangeSays) => string | undefined
  /** A message went by without being sent: for exchanges that number the frames of a connection. */
  readonly missed?: () => void
  /** Sets the numbers of the frames back by so many: for exchanges that number the frames of a connection. */
  readonly rewind?: (count: number) => void
  readonly heartbeat?: (now: number) => string | undefined
}

/** What exchange status changed, in its own word. */
export interface ExchangeSays {
  readonly status: string
  readonly text: string
}

/** What a session can do to its connection. */
export interface Peer {
  readonly subscribe: (stream: string) => void
  readonly unsubscribe: (stream: string) => void
  /** In the order in which they were asked for. */
  readonly subscriptions: () => ReadonlyArray<string>
}

export interface Envelope {
  readonly before: Uint8Array
  readonly after: Uint8Array
}

export const noEnvelope: Envelope = { before: new Uint8Array(0), after: new Uint8Array(0) }

/** The messages of one stream, shared by all connections. */
export interface Source {
  /** Makes the next message. `now` in milliseconds since the epoch. The message is valid until the next call. */
  readonly next: (now: number) => Message
  /** Nobody listens any more. */
  readonly pause: () => void
  /** Somebody listens again (or for the first time): `missed` messages went by meanwhile. */
  readonly resume: (missed: number) => void
  /** Sets the ids back by so many messages, where they are numbers that grow. */
  readonly rewind?: (count: number) => void
  /** What a new listener gets first, if anything. */
  readonly snapshot?: (now: number) => string
}

export interface Message {
  /** The exchange's sequence id. */
  readonly id: string
  /** The payload without envelope, UTF-8, in the first `length` bytes. */
  readonly bytes: Buffer
  readonly length: number
}

export const garbageKinds = ["text", "truncated", "shape", "binary", "noid"] as const
/** Not JSON; JSON that is cut off; JSON of no known shape; a binary frame; a message without its sequence id. */
export type GarbageKind = (typeof garbageKinds)[number]
