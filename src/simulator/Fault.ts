import { Either, ParseResult, Schema } from "effect"
import { mangleKinds } from "./mangle.ts"
import { faultNames } from "./names.ts"
import { garbageKinds } from "./Protocol.ts"

const exact = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

const Count = Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, 1_000_000))
const Milliseconds = Schema.NumberFromString.pipe(Schema.int(), Schema.between(0, 86_400_000))
const Flag = Schema.BooleanFromString

const CloseCode = Schema.NumberFromString.pipe(
  Schema.int(),
  Schema.filter(
    (code) => (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code < 5000),
    {
      message: () => "a close code that may be sent: 1000-1003, 1007-1014 or 3000-4999"
    }
  )
)
const CloseReason = Schema.String.pipe(
  Schema.filter((reason) => Buffer.byteLength(reason) <= 123, { message: () => "at most 123 bytes" })
)

/**
 * Misbehaviour on demand. Parameters with a default can be omitted; `stream` is the name of a stream, and without it a fault
 * applies to all streams. The encoded side is text, as in a query string: `skip?stream=btcusdt@trade&count=3`.
 *
 * - `close`: sends close frames to all connections; `code` is 1001 and `reason` empty by default.
 * - `terminate`: cuts all connections without a close frame.
 * - `shutdown`: sends the exchange's notice that it is going to close to all connections, and for `for` milliseconds (0) to every
 *   new one immediately; they stay open.
 * - `silence`: currently open connections stop sending anything, pongs and answers included, and ignore what they receive;
 *   with `stream`, only this subscription goes silent, until it is subscribed again or, if `sticky`, for the lifetime of its
 *   connection. New connections work, and the market continues. Lasts `for` milliseconds, forever by default.
 * - `garbage`: sends `count` frames (5) to every connection, all kinds in turn or only `kind`.
 * - `mangle`: sends the messages of `stream` in another format on open connections for `for` milliseconds, forever by default.
 *   `kind` is `retype` (numbers become strings, and strings numbers), `drop` (ids are removed), `swap` (arrays become objects) or
 *   `gzip`. With `every`, only one in `every` messages is changed.
 * - `duplicates`: sends the newest `count` messages (10) of each stream once more; `when` is `now` (default) or `reconnect`: to
 *   the next subscriber, before anything else.
 * - `skip`: the next `count` messages (1) of each stream are made and get their ids, but are never sent.
 * - `rewind`: sets ids back by `count` messages (100) while connections stay open, and continues from there; without `stream`
 *   also the frame numbers of each connection, if it has any.
 * - `refuse`: answers upgrades with HTTP `status` (503) for `for` milliseconds (5000).
 * - `nopong`: stops answering pings after `for` milliseconds (0).
 * - `announce`: the exchange reports `status` about itself from now on, with `text`, if it has status messages: Kraken on every
 *   connection; OKX and Bybit as the state of the maintenance `text`, Coinbase for each product, these only to subscribers. The
 *   status is `online` before.
 * - `list`, `delist`: `symbol` is traded from now on, or no longer traded.
 * - `status`: the list of instruments gives `status` for `symbol`, in the exchange's own words; its messages continue.
 * - `unlist`: the list omits `symbol`, or all but the first `keep` symbols, `count` times (forever); messages continue.
 * - `rest`: for `for` milliseconds, forever by default, the REST interface, except for the list of instruments, answers after
 *   `delay` milliseconds (0), and with HTTP `status` and a `Retry-After` of `retry` seconds if these are given.
 * - `burst`: sends `count` messages (1000) of each stream at once, on top of its rate.
 */
export const Fault = Schema.Union(
  Schema.TaggedStruct("close", { code: exact(CloseCode), reason: exact(CloseReason) }),
  Schema.TaggedStruct("terminate", {}),
  Schema.TaggedStruct("shutdown", { for: exact(Milliseconds) }),
  Schema.TaggedStruct("silence", {
    for: exact(Milliseconds),
    stream: exact(Schema.String),
    sticky: exact(Flag)
  }),
  Schema.TaggedStruct("garbage", { count: exact(Count), kind: exact(Schema.Literal(...garbageKinds)) }),
  Schema.TaggedStruct("mangle", {
    kind: Schema.Literal(...mangleKinds),
    for: exact(Milliseconds),
    stream: exact(Schema.String),
    every: exact(Count)
  }),
  Schema.TaggedStruct("duplicates", {
    count: exact(Count),
    stream: exact(Schema.String),
    when: exact(Schema.Literal("now", "reconnect"))
  }),
  Schema.TaggedStruct("skip", { count: exact(Count), stream: exact(Schema.String) }),
  Schema.TaggedStruct("rewind", { count: exact(Count), stream: exact(Schema.String) }),
  Schema.TaggedStruct("refuse", {
    for: exact(Milliseconds),
    status: exact(Schema.NumberFromString.pipe(Schema.int(), Schema.between(400, 599)))
  }),
  Schema.TaggedStruct("nopong", { for: exact(Milliseconds) }),
  Schema.TaggedStruct("announce", { status: Schema.NonEmptyString, text: exact(Schema.String) }),
  Schema.TaggedStruct("list", { symbol: Schema.NonEmptyString }),
  Schema.TaggedStruct("delist", { symbol: Schema.NonEmptyString }),
  Schema.TaggedStruct("status", { symbol: Schema.NonEmptyString, status: Schema.NonEmptyString }),
  Schema.TaggedStruct("unlist", {
    symbol: exact(Schema.NonEmptyString),
    keep: exact(Count),
    count: exact(Count)
  }),
  Schema.TaggedStruct("rest", {
    status: exact(Schema.NumberFromString.pipe(Schema.int(), Schema.between(400, 599))),
    retry: exact(Schema.NumberFromString.pipe(Schema.int(), Schema.between(0, 86_400))),
    delay: exact(Milliseconds),
    for: exact(Milliseconds)
  }),
  Schema.TaggedStruct("burst", { count: exact(Count), stream: exact(Schema.String) })
)
export type Fault = typeof Fault.Type

/** Parses `<name>?<parameters>`, as on the command line and in control requests. Left is one line that says what is wrong. */
export const parseFault = (text: string): Either.Either<Fault, string> => {
  const [name = "", query = ""] = text.split(/\?(.*)/s)
  if (!faultNames.some((known) => known === name)) {
    return Either.left(`unknown fault "${name}", expected one of ${faultNames.join(", ")}`)
  }
  return Either.mapLeft(
    decode({ ...Object.fromEntries(new URLSearchParams(query)), _tag: name }),
    (error) =>
      `fault ${name}: ${ParseResult.ArrayFormatter.formatErrorSync(error)
        .map((issue) => `${issue.path.join(".")}: ${issue.message}`)
        .join("; ")}`
  )
}

const decode = Schema.decodeUnknownEither(Fault, { onExcessProperty: "error" })
