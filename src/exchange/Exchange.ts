import type { FileSystem } from "@effect/platform"
import type { Duration, Effect, Either, Option, Redacted } from "effect"
import type { Integer } from "../domain/Integer.ts"
import type { SkipReason } from "../domain/SkipReason.ts"
import type { MarketStream, MarketType } from "../domain/StreamId.ts"
import type { ContinuityRule, Place } from "./Continuity.ts"
import type { ListRequest } from "./ListRequest.ts"
import type { Said } from "./StatusWatch.ts"
import type { StatusFeed } from "./statusFeed.ts"

/**
 * Everything the collector knows about an exchange: a description and a pure decoder. The connection code is written once for
 * all exchanges, and knows none of them by name.
 */
export interface Exchange {
  /** The name, as in MARKETS and in rows. */
  readonly name: string
  /** The public endpoint. */
  readonly url: string
  /** The URL that streams of a type are subscribed at, derived from `url`; if undefined, all are at the same. */
  readonly urlOf?: (dataType: MarketType, url: string) => string
  /** The types that have a channel. */
  readonly dataTypes: ReadonlyArray<MarketType>
  /** Those of them, and of the polled ones, that a symbol of this name can have; if undefined, all. */
  readonly typesOf?: (symbol: string) => ReadonlyArray<MarketType>
  /** The type whose messages carry what a type without a channel of its own would: for the error that says there is none. */
  readonly carriedBy?: Readonly<Partial<Record<MarketType, MarketType>>>
  /** Returns the symbol in the exchange's own spelling, or a description of what is allowed. */
  readonly parseSymbol: (text: string) => Either.Either<string, string>
  /** The name of a stream in frames, under which its decoder looks it up. */
  readonly channelOf: (stream: MarketStream) => string
  /** Another name that its messages can carry: the name of a stream that no connection carries together with it. */
  readonly otherChannelOf?: (stream: MarketStream) => string | undefined
  /** How the streams of each type prove that no message is missing. */
  readonly continuity: (dataType: MarketType) => ContinuityRule
  readonly limits: Limits
  readonly keepalive: Keepalive
  /** How long nothing can be received, pings and heartbeats included, before the connection counts as dead. */
  readonly idleTimeout: Duration.Duration
  /** The age at which the exchange closes every connection; undefined if it is not documented. */
  readonly lifetime?: Duration.Duration
  /** How far in advance the exchange announces that it closes a connection; undefined if it is not documented. */
  readonly notice?: Duration.Duration
  /** Messages to send as soon as a connection is open. */
  readonly opening: ReadonlyArray<string>
  /** Messages to send once a connection has lasted for a minute: those that are not about its streams, which come first. */
  readonly later?: ReadonlyArray<string>
  /** The feed of status messages on a connection of its own. */
  readonly statusFeed?: StatusFeed
  /** Whether it answers requests. If not, a stream that has no data within some seconds is taken to be refused. */
  readonly acknowledges: boolean
  /** Whether its errors name no request: then each request waits until the previous one is answered. */
  readonly asksOneByOne?: boolean
  /**
   * Whether it closes the connection on a symbol that it does not have, instead of refusing it: then symbols are subscribed to
   * only once its list has them, one after the other, and one whose request is followed by a close without a code (1006) twice
   * in a row counts as refused.
   */
  readonly closesOnUnknown?: boolean
  /** Returns the messages that make a change. `nextId` generates an id that is unique on the connection. */
  readonly requests: (change: SubscriptionChange, nextId: () => string) => ReadonlyArray<Request>
  /**
   * Makes a decoder for one connection. `streams` holds the subscribed streams by `channelOf`; it changes over time.
   * `connection` is a string that no other connection has or had.
   */
  readonly makeDecoder: (streams: ReadonlyMap<string, MarketStream>, connection: string) => Decoder
  /** Where the exchange lists its instruments. */
  readonly instruments: Instruments
  /** What it offers over REST only. */
  readonly rest?: RestInterface
  /** For exchanges that may require signed messages. */
  readonly authentication?: Authentication
}

/** A maximum count within any period of this length, whenever it starts. */
export interface Quota {
  readonly count: number
  readonly per: Duration.Duration
}

/** A quota for the messages that a client sends. */
export interface MessageQuota extends Quota {
  /** Whether it counts only requests, not pings. */
  readonly requestsOnly?: boolean
}

export interface Limits {
  /** Limits on the messages that a client sends. */
  readonly messages: ReadonlyArray<MessageQuota>
  /** What these limits apply to: each connection, or all connections of this address together. */
  readonly messagesOf: "connection" | "address"
  /** Limits on the connection attempts of one address. */
  readonly connections: ReadonlyArray<Quota>
  /** Whether one connection to this URL can carry these streams. */
  readonly fits: (streams: ReadonlyArray<MarketStream>, url: string) => boolean
}

/** What an exchange offers over its REST interface, the one that lists its instruments. */
export interface RestInterface {
  /** Limits on the weight of all requests of one address together. Half of each is used, because others can share it. */
  readonly weights: ReadonlyArray<Quota>
  /** What is requested over and over, by type. */
  readonly polled: ReadonlyMap<MarketType, Polled>
}

/** Data of one symbol that no channel has, and that are therefore requested periodically. */
export interface Polled {
  readonly path: (symbol: string) => string
  readonly weight: number
  readonly every: Duration.Duration
  /** Reads the identity and the time of an answer about this symbol, or returns what is wrong with it. */
  readonly read: (body: Buffer, symbol: string) => Either.Either<PolledAnswer, string>
}

export interface PolledAnswer {
  readonly exchangeSequenceId: string
  /** Integer microseconds since the epoch, or null if the exchange sends no time. */
  readonly exchangeTimestamp: number | null
}

/** How a connection is kept open. */
export interface Keepalive {
  /** What we send: a ping of the WebSocket protocol, a text, or nothing if the exchange pings or sends heartbeats. */
  readonly ping:
    | { readonly _tag: "Protocol" }
    | { readonly _tag: "Text"; readonly text: string }
    | { readonly _tag: "None" }
  readonly every: Duration.Duration
  /** The time limit for the answer: a pong, or a frame that decodes as `Pong`. */
  readonly pongWithin: Duration.Duration
}

/** Streams to subscribe to and to unsubscribe from. Streams in both are to be resubscribed. */
export interface SubscriptionChange {
  readonly subscribe: ReadonlyArray<MarketStream>
  readonly unsubscribe: ReadonlyArray<MarketStream>
  /** All streams of the connection after the change, for exchanges where a request replaces the previous one. */
  readonly all: ReadonlyArray<MarketStream>
}

/** A request, and how its answer is recognised. */
export interface Request {
  /** The text to send. */
  readonly frame: string
  /** Appears in the answer as `request`, if the exchange repeats it. */
  readonly id: string
  /** The streams that it subscribes to. */
  readonly streams: ReadonlyArray<MarketStream>
  /** Whether its streams cannot be split over several requests. */
  readonly indivisible?: boolean
  /** Streams that it subscribes to once more: the exchange may send their state again. */
  readonly repeated?: ReadonlyArray<MarketStream>
}

/**
 * A message of a stream. `start` and `end` delimit its own bytes within the frame, without the envelope. Its place is the one
 * among the messages of its stream, or among all frames of its connection, depending on the continuity rule of its type.
 * `snapshot`: the message describes a state, sent because of the subscription, and not an event.
 */
export interface Data extends Part {
  readonly _tag: "Data"
  readonly start: number
  readonly end: number
  /** Other streams that the same frame belongs to. */
  readonly also: ReadonlyArray<Part>
  /** When the exchange sent it, microseconds since the epoch, for exchanges whose frames are numbered. */
  readonly sent?: number | null
}

/** What a frame means to one stream. */
export interface Part extends Place {
  readonly stream: MarketStream
  readonly exchangeSequenceId: string
  /** Integer microseconds since the epoch, or null if the exchange sends no time. */
  readonly exchangeTimestamp: number | null
}

/** A decoded frame of an exchange. */
export type Frame =
  | Data
  /** The exchange accepted a request: all of it if `streams` is null, otherwise only these of its streams. */
  | (Answer & { readonly _tag: "Acknowledged"; readonly streams: ReadonlyArray<MarketStream> | null })
  /** The exchange refused streams, in its own words; if `streams` is empty, it is unknown which. */
  | (Answer & {
      readonly _tag: "Refused"
      readonly streams: ReadonlyArray<MarketStream>
      readonly reason: string
    })
  /** The answer to our ping. */
  | (Counted & { readonly _tag: "Pong" })
  /** A sign of life that carries no data. */
  | (Counted & { readonly _tag: "Heartbeat" })
  /** A ping in a frame of the exchange's own, to be answered with this frame. */
  | (Counted & { readonly _tag: "Ping"; readonly answer: string })
  /** An error that names neither a request nor a stream: what it refers to is unknown. */
  | (Counted & { readonly _tag: "Failed"; readonly reason: string })
  /** The exchange is about to close the connection; `status` is its word for that. */
  | (Counted & { readonly _tag: "Closing"; readonly status: string; readonly reason: string })
  /** Status messages of the exchange. */
  | (Counted & { readonly _tag: "Status"; readonly said: ReadonlyArray<Said> })
  /** Instruments whose state has changed, or new ones: believed at once, without waiting for the next list. */
  | (Counted & { readonly _tag: "Listing"; readonly instruments: ReadonlyArray<Instrument> })
  /**
   * None of the above: it is kept as received, and its stream is in doubt. `stream` is the one that it names; if undefined, the
   * frame can belong to any stream on the connection.
   */
  | (Counted & {
      readonly _tag: "Malformed"
      readonly reason: Exclude<SkipReason, "of a stream that was not asked for">
      readonly stream?: MarketStream
    })
  /** A frame of a stream, by `channelOf`, that is not on the connection: skipped. */
  | (Counted & {
      readonly _tag: "Malformed"
      readonly reason: "of a stream that was not asked for"
      readonly channel: string
    })

interface Answer extends Counted {
  /** The id of the request; null if the exchange does not repeat it. */
  readonly request: string | null
  /**
   * What happens to the other streams of the request: their answers follow, the exchange dropped them with it, or they are
   * refused because the answer leaves them out.
   */
  readonly others: "pending" | "dropped" | "refused"
}

/** A frame that is counted with the data, on exchanges that number all frames of a connection. */
interface Counted {
  readonly counter?: Integer
  /** When the exchange sent it, microseconds since the epoch. */
  readonly sent?: number | null
}

/** Reads the frames of one connection. Never throws, whatever the bytes are. */
export type Decoder = (frame: Buffer) => Frame

/** The list of an exchange's instruments. */
export interface Instruments {
  /** The public REST interface. */
  readonly url: string
  /** The request for each part of the list; all but the first can be empty. */
  readonly paths: readonly [ListRequest, ...ReadonlyArray<ListRequest>]
  /** Returns the path of the next page, by the end of an answer (at most 1,000 characters); undefined after the last one. */
  readonly nextPage?: (path: string, end: string) => string | undefined
  /** Matches the start of an answer which says, in spite of its status, that the list is unavailable. */
  readonly refusal?: RegExp
  /** How many levels deep in the answer the instruments lie, each of them an object: 1 for the items of an array. */
  readonly depth: number
  /**
   * Reads an object of that depth. Returns undefined if it is not an instrument, and a left if it is one that cannot be read.
   */
  readonly read: (item: string) => Either.Either<Instrument | undefined, string>
  /** Whether a symbol would be in the list if it existed; if undefined, every symbol would. */
  readonly lists?: (symbol: string) => boolean
}

/**
 * The state of a symbol, in the spelling that the exchange uses for streams.
 *
 * - `traded`: patterns include it, even if its trading is limited or suspended for a time: it comes back by itself;
 * - `resting`: it exists, and continues if it is being recorded, but patterns do not start it;
 * - `ended`: it is delisted.
 */
export interface Instrument {
  readonly symbol: string
  readonly state: "traded" | "resting" | "ended"
}

/** Completes a message just before it is sent. */
export type Signer = (frame: string) => Effect.Effect<string>

export interface Authentication {
  /** The names of the settings that it takes. */
  readonly settings: ReadonlyArray<string>
  /**
   * Makes a signer, or none if no setting is given. Fails with a line that describes the problem, starting with the name of the
   * setting and never showing a secret.
   */
  readonly signer: (
    settings: ReadonlyMap<string, Redacted.Redacted>
  ) => Effect.Effect<Option.Option<Signer>, string, FileSystem.FileSystem>
}
