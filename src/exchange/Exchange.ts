import type { Duration, Either } from "effect"
import type { DataType, StreamId } from "../domain/StreamId.ts"

/** A frame to send that asks for streams, and how its answer is recognised. */
export interface SubscribeRequest {
  /** The text to send. */
  readonly frame: string
  /** Stands in the answer as `Acknowledged.request` or `Refused.request`. */
  readonly request: string
  readonly streams: ReadonlyArray<StreamId>
}

/** A message of a stream. `start` and `end` bound its own bytes within the frame: an envelope lies outside. */
export interface Data {
  readonly _tag: "Data"
  readonly stream: StreamId
  readonly exchangeSequenceId: string
  /** Integer microseconds since the epoch, or null where the exchange sends no time. */
  readonly exchangeTimestamp: number | null
  readonly start: number
  readonly end: number
}

/** What a frame of an exchange is. */
export type Frame =
  | Data
  /** The exchange took a request. */
  | { readonly _tag: "Acknowledged"; readonly request: string }
  /** The exchange refused a request (all requests in flight where `request` is null), in its own words. */
  | { readonly _tag: "Refused"; readonly request: string | null; readonly reason: string }
  /** A sign of life that carries no data. */
  | { readonly _tag: "Heartbeat" }
  /** The exchange is going to close the connection. */
  | { readonly _tag: "Closing"; readonly reason: string }
  /** Neither of these: skipped and counted. `reason` is a constant text, not a part of the frame. */
  | { readonly _tag: "Malformed"; readonly reason: string }

/** Reads frames of one connection. Never throws, whatever the bytes are. */
export type Decoder = (frame: Buffer) => Frame

/**
 * All that the collector knows about an exchange: a description and a pure decoder. The connection actor is written once
 * for all of them.
 */
export interface Exchange {
  /** As in MARKETS and in rows. */
  readonly name: string
  /** The public endpoint. */
  readonly url: string
  readonly dataTypes: ReadonlyArray<DataType>
  /** The symbol in the exchange's own spelling, or what is allowed. */
  readonly parseSymbol: (text: string) => Either.Either<string, string>
  readonly limits: {
    /** Messages a client may send on a connection within a second, keepalive included. */
    readonly messagesPerSecond: number
    /** Connection attempts that one address may make within a time. */
    readonly connections: { readonly attempts: number; readonly per: Duration.Duration }
  }
  /** How long the server may be quiet altogether, its pings included, before the connection counts as dead. */
  readonly idleTimeout: Duration.Duration
  /** Divides streams over as few connections as the exchange's limits allow. */
  readonly partition: (
    streams: ReadonlyArray<StreamId>,
    url: string
  ) => ReadonlyArray<ReadonlyArray<StreamId>>
  readonly subscribe: (streams: ReadonlyArray<StreamId>) => ReadonlyArray<SubscribeRequest>
  /** A decoder for a connection that asked for these streams. */
  readonly makeDecoder: (streams: ReadonlyArray<StreamId>) => Decoder
}
