import type { Duration, Either, Option } from "effect"
import type { Listed } from "./listing.ts"

/** The options that every simulated market is made from. */
export interface MarketOptions {
  /** The same seed and the same subscriptions give the same payloads, except for times. */
  readonly seed: number
  /** The symbols that exist, as the exchange spells them; they can change. Streams of other symbols do not exist. */
  readonly symbols: ReadonlySet<string>
  /** Approximate minimum size of whole-book messages in bytes, reached with longer quantities; 0 for their natural size. */
  readonly bookBytes: number
  /** Milliseconds since the epoch. */
  readonly clock: () => number
}

/** Maximum number of events within a period. */
export interface Quota {
  readonly count: number
  readonly per: Duration.Duration
}

/** A quota for messages that a client sends. */
export interface MessageQuota extends Quota {
  /** Whether it counts only requests, not pings. */
  readonly requestsOnly?: boolean
}

/**
 * The server side of an exchange's public WebSocket protocol. The server does the rest: listening, pacing, fan-out, keepalive
 * and faults.
 */
export interface Protocol {
  readonly name: string
  /** The path that clients connect to by default. */
  readonly path: string
  /** How many messages a client may send, protocol pings and pongs included; one more closes the connection. */
  readonly messages: ReadonlyArray<MessageQuota>
  /** Whether they are counted per connection or for all connections together. */
  readonly messagesOf: "connection" | "address"
  /** How many connection attempts are allowed within a period; one more is refused. */
  readonly connections: Quota
  /** Whether data and answers are binary frames. */
  readonly binary: boolean
  /** How often the server sends protocol pings and how long it waits for the pong; null if it sends none. */
  readonly keepalive: { readonly pingEvery: Duration.Duration; readonly pongWithin: Duration.Duration } | null
  /** How long a connection, new ones included, stays open without messages from its client; null for no limit. */
  readonly idle: Duration.Duration | null
  readonly firstMessageWithin: Duration.Duration | null
  /** How often `heartbeat` is called on every session; null if there are no heartbeats. */
  readonly heartbeatEvery: Duration.Duration | null
  /** The list of instruments, served over HTTP. */
  readonly instruments: {
    readonly path: string
    readonly list: (symbols: ReadonlyArray<Listed>, query: URLSearchParams, body: string) => unknown
  }
  /** What else it offers over HTTP. */
  readonly rest?: {
    /** Limits on the weight of all requests together; beyond one it answers 429. */
    readonly weights: ReadonlyArray<Quota>
    /** The answer at a path, and its weight; undefined if there is no such path. `clock`: milliseconds since the epoch. */
    readonly route: (path: string, query: URLSearchParams, clock: () => number) => RestRoute | undefined
  }
  /** Opens a session for the URL of an upgrade request, or refuses the upgrade. */
  readonly connect: (url: URL) => Either.Either<ClientSession, UpgradeRefused>
  /** The source of a stream, made once per stream and server; `None` if the stream does not exist. */
  readonly source: (stream: string) => Option.Option<Source>
}

export interface RestRoute {
  readonly weight: number
  readonly body: () => unknown
}

export interface UpgradeRefused {
  /** HTTP status. */
  readonly status: number
  readonly reason: string
}

/** The protocol state of one connection. */
export interface ClientSession {
  /** Streams requested in the URL. */
  readonly streams: ReadonlyArray<string>
  /** The first frame sent to the client. `system` is the status that the exchange reports about itself. */
  readonly greeting?: (system: ExchangeSays) => string
  /** Handles a text message from the client and returns the answers, in order. Never throws. */
  readonly receive: (text: string, peer: Peer, system: ExchangeSays) => ReadonlyArray<string>
  /** The envelope around a message of the stream. Called once for each message sent. */
  readonly envelope: (stream: string) => Envelope
  /** A malformed frame that clients must cope with; `stream` is one that the connection is subscribed to. */
  readonly garbage: (kind: GarbageKind, stream: string) => string | Uint8Array
  /** The notice that the server is going to close the connection. `now` is in milliseconds since the epoch. */
  readonly closingNotice: (now: number) => string
  /** The frame that reports a changed status of the exchange; undefined if this client does not get one. */
  readonly says?: (system: ExchangeSays) => string | undefined
  /** Counts a message that was not sent, for exchanges that number the frames of a connection. */
  readonly missed?: () => void
  /** Sets the frame numbers back by `count`, for exchanges that number the frames of a connection. */
  readonly rewind?: (count: number) => void
  readonly heartbeat?: (now: number) => string | undefined
}

/** The status that an exchange reports about itself, in its own words. */
export interface ExchangeSays {
  readonly status: string
  readonly text: string
}

/** What a session can do to its connection. */
export interface Peer {
  readonly subscribe: (stream: string) => void
  readonly unsubscribe: (stream: string) => void
  /** The subscribed streams, in the order in which they were requested. */
  readonly subscriptions: () => ReadonlyArray<string>
}

export interface Envelope {
  readonly before: Uint8Array
  readonly after: Uint8Array
}

export const noEnvelope: Envelope = { before: new Uint8Array(0), after: new Uint8Array(0) }

/** The messages of one stream, shared by all connections. */
export interface Source {
  /** Makes the next message. `now` is in milliseconds since the epoch. The message is valid until the next call. */
  readonly next: (now: number) => Message
  /** Called when the last listener has left. */
  readonly pause: () => void
  /** Called when there is a listener again (or for the first time); `missed` messages went by in the meantime. */
  readonly resume: (missed: number) => void
  /** Sets the ids back by `count` messages, if they are increasing numbers. */
  readonly rewind?: (count: number) => void
  /** The message that a new listener gets first, if any. */
  readonly snapshot?: (now: number) => string
}

export interface Message {
  /** The exchange's sequence id. */
  readonly id: string
  /** The payload without its envelope, UTF-8, in the first `length` bytes. */
  readonly bytes: Buffer
  readonly length: number
}

export const garbageKinds = ["text", "truncated", "shape", "binary", "noid"] as const
/** Not JSON; truncated JSON; JSON of an unknown shape; a binary frame; a message without its sequence id. */
export type GarbageKind = (typeof garbageKinds)[number]
