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
 * Misbehaviour on demand. All parameters may be left out; `stream` is a stream's name and stands for all streams where it
 * is missing. The encoded side is text, as in a query string: `skip?stream=btcusdt@trade&count=3`.
 *
 * - `close`: close frames to all connections; `code` 1001 and `reason` empty by default.
 * - `terminate`: all connections cut without a close frame.
 * - `shutdown`: the exchange's notice that it is going to close, to all connections, and for `for` milliseconds (0) to every new
 *   one at once; they stay open.
 * - `silence`: connections that are open now stop sending anything, pongs and answers included, and ignore what they get;
 *   with `stream`, only this subscription goes silent, until it is asked for again, or, `sticky`, for as long as its
 *   connection lives. New connections work. The market goes on. `for` milliseconds, endless by default.
 * - `garbage`: `count` frames (5) to every connection, all kinds in turn or only `kind`.
 * - `mangle`: what open connections are sent of `stream` is in another format for `for` milliseconds, endless by default:
 *   `kind` is `retype` (numbers become texts, and texts numbers), `drop` (ids are gone), `swap` (objects where arrays were) or
 *   `gzip`; with `every`, only each so many messages.
 * - `duplicates`: the newest `count` messages (10) of each stream once more; `when` is `now` (default) or `reconnect`: to
 *   the next one who subscribes, before anything else.
 * - `skip`: the next `count` messages (1) of each stream are made and have their ids, but are never sent.
 * - `rewind`: ids are set back by `count` messages (100) while connections live, and go on from there; without `stream` also the
 *   numbers of the frames of each connection, where there are any.
 * - `refuse`: upgrades are answered with HTTP `status` (503) for `for` milliseconds (5000).
 * - `nopong`: pings are not answered any more, after `for` milliseconds (0).
 * - `announce`: the exchange says `status` of itself from now on, with `text`, where it says anything: Kraken on every connection,
 *   OKX and Bybit as the state of the maintenance `text`, Coinbase of each product, to those that ask for it. `online` before.
 * - `list`, `delist`: `symbol` is traded from now on, or not any more.
 * - `status`: the list of what is traded says `status` of `symbol`, in the exchange's own words; its messages go on.
 * - `unlist`: the list leaves out `symbol`, or has only the first `keep` symbols, `count` times (endless); messages go on.
 * - `burst`: `count` messages (1000) of each stream at once, on top of its rate.
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
  Schema.TaggedStruct("burst", { count: exact(Count), stream: exact(Schema.String) })
)
export type Fault = typeof Fault.Type

/** Reads `<name>?<parameters>`, as on the command line and in control requests. Left: one line that says what is wrong. */
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
