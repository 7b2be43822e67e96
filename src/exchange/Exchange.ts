import type { FileSystem } from "@effect/platform"
import type { Duration, Effect, Either, Option, Redacted } from "effect"
import type { Integer } from "../domain/Integer.ts"
import type { SkipReason } from "../domain/SkipReason.ts"
import type { MarketStream, MarketType } from "../domain/StreamId.ts"
import type { ContinuityRule, Place } from "./Continuity.ts"
import type { Said } from "./StatusWatch.ts"
import type { StatusFeed } from "./statusFeed.ts"

/**
 * All that the collector knows about an exchange: a description and a pure decoder. The connection actor is written once
 * for all of them, and knows none by name.
 */
export interface Exchange {
  /** As in MARKETS and in rows. */
  readonly name: string
  /** The public endpoint. */
  readonly url: string
  readonly dataTypes: ReadonlyArray<MarketType>
  /** The symbol in the exchange's own spelling, or what is allowed. */
  readonly parseSymbol: (text: string) => Either.Either<string, string>
  /** What a stream is called in frames: under this name its decoder looks it up. */
  readonly channelOf: (stream: MarketStream) => string
  /** Another name under which its messages may come: that of a stream which no connection carries beside it. */
  readonly otherChannelOf?: (stream: MarketStream) => string | undefined
  /** How the streams of each type prove that nothing is missing. */
  readonly continuity: (dataType: MarketType) => ContinuityRule
  readonly limits: Limits
  readonly keepalive: Keepalive
  /** How long nothing at all may be heard, pings and heartbeats included, before the connection counts as dead. */
  readonly idleTimeout: Duration.Duration
  /** After what time the exchange closes every connection; without, it does not say. */
  readonly lifetime?: Duration.Duration
  /** How long before it closes a connection it announces that; without, it does not say. */
  readonly notice?: Duration.Duration
  /** Messages to send as soon as a connection is open. */
  readonly opening: ReadonlyArray<string>
  /** Messages to send once a connection has lasted for a minute: what is not about its streams, which come first. */
  readonly later?: ReadonlyArray<string>
  /** Where it tells of itself on a connection of its own. */
  readonly statusFeed?: StatusFeed
  /** Whether it answers requests. One that does not is taken to have refused what has no data within some seconds. */
  readonly acknowledges: boolean
  /** Whether its errors name no request: then the next one waits until the one before is answered. */
  readonly asksOneByOne?: boolean
  /** The messages that make a change. `nextId` makes an id that is unique on the connection. */
  readonly requests: (change: SubscriptionChange, nextId: () => string) => ReadonlyArray<Request>
  /**
   * A decoder for one connection. `streams` are those that it was asked for, by `channelOf`; they change as time goes by.
   * `connection` is a text that no other connection has or had.
   */
  readonly makeDecoder: (streams: ReadonlyMap<string, MarketStream>, connection: string) => Decoder
  /** Where the exchange lists what it trades. */
  readonly instruments: Instruments
  /** For exchanges that may want messages to be signed. */
  readonly authentication?: Authentication
}

/** So many within a time, whatever moment it begins. */
export interface Quota {
  readonly count: number
  readonly per: Duration.Duration
}

/** Of messages that a client sends. */
export interface MessageQuota extends Quota {
  /** Whether it counts only requests, and no pings. */
  readonly requestsOnly?: boolean
}

export interface Limits {
  /** Messages that a client may send. */
  readonly messages: ReadonlyArray<MessageQuota>
  /** Of what: of each connection, or of all connections of this address together. */
  readonly messagesOf: "connection" | "address"
  /** Attempts to connect that one address may make. */
  readonly connections: ReadonlyArray<Quota>
  /** Whether one connection to this URL may carry these streams. */
  readonly fits: (streams: ReadonlyArray<MarketStream>, url: string) => boolean
}

/** What keeps a connection open. */
export interface Keepalive {
  /** What we send: a ping of the WebSocket protocol, a text, or nothing where the exchange pings or sends heartbeats. */
  readonly ping:
    | { readonly _tag: "Protocol" }
    | { readonly _tag: "Text"; readonly text: string }
    | { readonly _tag: "None" }
  readonly every: Duration.Duration
  /** The time for the answer: a pong, or a frame that decodes as `Pong`. */
  readonly pongWithin: Duration.Duration
}

/** Streams to begin and to end. Those in both are to be asked for again. */
export interface SubscriptionChange {
  readonly subscribe: ReadonlyArray<MarketStream>
  readonly unsubscribe: ReadonlyArray<MarketStream>
  /** All that the connection should carry after the change: for exchanges where a request replaces the one before. */
  readonly all: ReadonlyArray<MarketStream>
}

/** A message that asks for something, and how its answer is recognised. */
export interface Request {
  /** The text to send. */
  readonly frame: string
  /** Stands in the answer as `request`, where the exchange repeats it. */
  readonly id: string
  /** The streams that begin with it. */
  readonly streams: ReadonlyArray<MarketStream>
  /** Whether its streams cannot be asked for in several requests. */
  readonly indivisible?: boolean
  /** Streams that it asks for once more: the exchange may send their state anew. */
  readonly repeated?: ReadonlyArray<MarketStream>
}

/**
 * A message of a stream. `start` and `end` bound its own bytes within the frame: an envelope lies outside. Its place is that
 * among the messages of its stream, or among all frames of its connection, by the continuity rule of its type. `snapshot`:
 * it tells a state, sent because the stream was asked for, and not something that happened.
 */
export interface Data extends Part {
  readonly _tag: "Data"
  readonly start: number
  readonly end: number
  /** Other streams that the same frame belongs to. */
  readonly also: ReadonlyArray<Part>
  /** When the exchange sent it, microseconds since the epoch, where its frames are numbered. */
  readonly sent?: number | null
}

/** What a frame is to one stream. */
export interface Part extends Place {
  readonly stream: MarketStream
  readonly exchangeSequenceId: string
  /** Integer microseconds since the epoch, or null where the exchange sends no time. */
  readonly exchangeTimestamp: number | null
}

/** What a frame of an exchange is. */
export type Frame =
  | Data
  /** The exchange took a request: all of it where `streams` is null, else only these of its streams. */
  | (Answer & { readonly _tag: "Acknowledged"; readonly streams: ReadonlyArray<MarketStream> | null })
  /** The exchange refused streams, in its own words; nobody knows which where `streams` is empty. */
  | (Answer & {
      readonly _tag: "Refused"
      readonly streams: ReadonlyArray<MarketStream>
      readonly reason: string
    })
  /** The answer to a ping of ours. */
  | (Counted & { readonly _tag: "Pong" })
  /** A sign of life that carries no data. */
  | (Counted & { readonly _tag: "Heartbeat" })
  /** An error that names neither a request nor a stream: what it is about is not known. */
  | (Counted & { readonly _tag: "Failed"; readonly reason: string })
  /** The exchange is going to close the connection; `status` is its word for that. */
  | (Counted & { readonly _tag: "Closing"; readonly status: string; readonly reason: string })
  /** What the exchange says of itself. */
  | (Counted & { readonly _tag: "Status"; readonly said: ReadonlyArray<Said> })
  /**
   * None of these: it is kept as it came, and its stream is in doubt. `stream` is the one that it names; without, it may
   * belong to any on the connection.
   */
  | (Counted & {
      readonly _tag: "Malformed"
      readonly reason: Exclude<SkipReason, "of a stream that was not asked for">
      readonly stream?: MarketStream
    })
  /** It belongs to a stream, by `channelOf`, that is not among those of the connection: skipped. */
  | (Counted & {
      readonly _tag: "Malformed"
      readonly reason: "of a stream that was not asked for"
      readonly channel: string
    })

interface Answer extends Counted {
  /** The id of the request; null where the exchange does not repeat it. */
  readonly request: string | null
  /** What became of the other streams of the request: their answers come, or the exchange dropped them with it. */
  readonly others: "pending" | "dropped"
}

/** A frame that is counted with the data, on exchanges that number all frames of a connection. */
interface Counted {
  readonly counter?: Integer
  /** When the exchange sent it, microseconds since the epoch. */
  readonly sent?: number | null
}

/** Reads frames of one connection. Never throws, whatever the bytes are. */
export type Decoder = (frame: Buffer) => Frame

/** The list of what an exchange trades. */
export interface Instruments {
  /** The public REST interface. */
  readonly url: string
  /** Path and query of each part of the list; any but the first may be empty. */
  readonly paths: readonly [string, ...ReadonlyArray<string>]
  /** What the beginning of an answer has where it says, in spite of its status, that the list cannot be had now. */
  readonly refusal?: RegExp
  /** How many levels deep in the answer the instruments lie, each of them an object: 1 for those of an array. */
  readonly depth: number
  /** Reads an object of that depth: undefined if it is no instrument; left if it is one that cannot be read. */
  readonly read: (item: string) => Either.Either<Instrument | undefined, string>
  /** Whether a symbol would be in the list if it existed; without, all would. */
  readonly lists?: (symbol: string) => boolean
}

/**
 * What an exchange says of a symbol, in its spelling for streams.
 *
 * - `traded`: patterns mean it, though its trading may be limited or suspended for a time: it comes back by itself;
 * - `resting`: it exists, and goes on if it is recorded, but patterns do not begin it;
 * - `ended`: it is delisted.
 */
export interface Instrument {
  readonly symbol: string
  readonly state: "traded" | "resting" | "ended"
}

/** Finishes a message just before it is sent. */
export type Signer = (frame: string) => Effect.Effect<string>

export interface Authentication {
  /** Names of the settings it takes. */
  readonly settings: ReadonlyArray<string>
  /**
   * A signer, or none where no setting is given. Fails with a line that says what is wrong, beginning with the name of the
   * setting and never showing a secret.
   */
  readonly signer: (
    settings: ReadonlyMap<string, Redacted.Redacted>
  ) => Effect.Effect<Option.Option<Signer>, string, FileSystem.FileSystem>
}
