import { Either, ParseResult, Schema } from "effect"
import type { MarketPattern } from "../domain/MarketPattern.ts"
import type { MarketStream } from "../domain/StreamId.ts"
import { similar } from "../domain/similarWords.ts"
import type { Instrument, Instruments } from "./Exchange.ts"

/** Makes a reader for instruments in JSON; `instrumentOf` tells by the members of an item whether it is one. */
export const instrumentIn = <A, I>(
  schema: Schema.Schema<A, I>,
  instrumentOf: (item: A) => Instrument | undefined
): Instruments["read"] => {
  const decode = Schema.decodeUnknownEither(Schema.parseJson(schema))
  return (item) =>
    Either.mapBoth(decode(item), {
      onLeft: (error) => ParseResult.TreeFormatter.formatErrorSync(error).split("\n").at(-1) ?? "unreadable",
      onRight: instrumentOf
    })
}

/**
 * Returns the state that a status stands for, ignoring case: a symbol is traded unless its status is one of `resting`, or means
 * that it ended. Unknown words do not end it, because an exchange that limits or suspends a symbol has many of them.
 */
export const stateOf = (
  status: string | undefined,
  resting: ReadonlyArray<string> = []
): Instrument["state"] => {
  const word = (status ?? "").toLowerCase()
  if (ended.includes(word)) return "ended"
  return resting.includes(word) ? "resting" : "traded"
}

const ended = ["delisted", "closed", "expired", "delivered", "settled", "terminated"]

/**
 * Makes a parser for symbols in the spelling of the exchange. A left describes what is `allowed`, with the symbol that was
 * probably meant: `pair` is how the exchange writes two currencies.
 */
export const symbolLike =
  (
    pattern: RegExp,
    allowed: string,
    pair: (base: string, quote: string) => string,
    spell: (text: string) => string = (text) => text.toUpperCase()
  ) =>
  (text: string): Either.Either<string, string> => {
    const symbol = spell(text)
    if (pattern.test(symbol)) return Either.right(symbol)
    const currencies = currenciesIn(text)
    const meant = currencies === undefined ? "" : spell(pair(...currencies))
    return Either.left(pattern.test(meant) ? `${allowed} (did you mean "${meant}"?)` : allowed)
  }

/** Returns the two currencies of a pair, however it is written: the one that is traded, and the one that prices are in. */
const currenciesIn = (text: string): readonly [base: string, quote: string] | undefined => {
  const upper = text.toUpperCase()
  const [, first = "", second = ""] =
    /^([\p{L}\p{N}]+)[-_/]([\p{L}\p{N}]+)$/u.exec(upper) ??
    new RegExp(`^([\\p{L}\\p{N}]+?)(${quotes.join("|")})$`, "u").exec(upper) ??
    []
  if (first === "" || second === "") return undefined
  const place = (currency: string) => (quotes.includes(currency) ? quotes.indexOf(currency) : quotes.length)
  return place(first) < place(second) ? [second, first] : [first, second]
}

/**
 * Returns up to three listed symbols that were probably meant by one that is not listed: those with a similar spelling, or else
 * those with the same first currency, if there are few of them.
 */
export const nearSymbols = (symbol: string, listed: ReadonlyArray<string>): ReadonlyArray<string> => {
  const near = similar(symbol, listed)
  if (near.length > 0) return near.slice(0, 3)
  const [first] = symbol.split(/[-/]/)
  const same = listed.filter((other) => other !== symbol && other.split(/[-/]/)[0] === first)
  const place = (other: string) => {
    const at = quotes.indexOf(other.split(/[-/]/)[1] ?? "")
    return at < 0 ? quotes.length : at
  }
  return same.length > maxOfCurrency ? [] : same.sort((a, b) => place(a) - place(b)).slice(0, 3)
}

/** If more symbols start alike, none is suggested: they start with a currency that prices are in. */
const maxOfCurrency = 20

/**
 * The currencies that prices are in. Of two of them, prices are in the one that comes first here. Of two with the same ending,
 * the longer one comes first.
 */
const quotes = [
  "FDUSD",
  "USDT",
  "USDC",
  "TUSD",
  "USD",
  "EUR",
  "GBP",
  "JPY",
  "KRW",
  "TRY",
  "BRL",
  "BTC",
  "ETH",
  "BNB"
]

/**
 * Makes a predicate for the symbols that a pattern matches: `*` stands for any text, everything else for itself, ignoring case.
 */
export const matcher = (pattern: string): ((symbol: string) => boolean) => {
  const literal = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
  const expression = new RegExp(`^${literal.join(".*")}$`, "iu")
  return (symbol) => expression.test(symbol)
}

/** Makes a predicate for the streams that one of the patterns matches. */
export const isMatchedBy = (patterns: ReadonlyArray<MarketPattern>): ((stream: MarketStream) => boolean) => {
  const matchers = patterns.map(({ dataTypes, pattern }) => ({ dataTypes, matches: matcher(pattern) }))
  return ({ dataType, symbol }) =>
    matchers.some(({ dataTypes, matches }) => dataTypes.includes(dataType) && matches(symbol))
}

/** Whether two lists are of the same patterns, in whatever order. */
export const areSamePatterns = (
  some: ReadonlyArray<MarketPattern>,
  others: ReadonlyArray<MarketPattern>
): boolean => textsOf(some).join() === textsOf(others).join()

/** The patterns as MARKETS spells them, sorted. */
export const textsOf = (patterns: ReadonlyArray<MarketPattern>): ReadonlyArray<string> =>
  patterns
    .map(({ dataTypes, exchange, pattern }) => `${exchange}:${pattern}:${dataTypes.join("+")}`)
    .toSorted()

/** Whether an entry of MARKETS is a pattern. */
export const isPattern = (symbol: string): boolean => symbol.includes("*")
