import { Either, ParseResult, Schema } from "effect"
import { similar } from "../domain/similarWords.ts"
import type { Instrument, Instruments } from "./Exchange.ts"

/** Reads an instrument in JSON; `instrumentOf` knows by its members whether it is one. */
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
 * What a status means, in whatever letters: a symbol is traded unless it is among those that rest, or ended. Words that nobody
 * knows yet end nothing: an exchange that limits or suspends a symbol has many.
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
 * Reads a symbol in the spelling of the exchange; left is what is `allowed`, in words, with the symbol that was probably meant:
 * `pair` is how the exchange writes two currencies.
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

/** The two currencies of a pair, however it is written: the one that is bought and sold, and the one that it is paid in. */
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
 * Up to three of the listed symbols that are probably meant by one that is not: those that are spelled nearly so, or else those of
 * the same first currency, as long as these are few.
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

/** Of more symbols that begin alike none is meant: what they begin with is what prices are in. */
const maxOfCurrency = 20

/** What prices are in: of two of them in that which stands first. Of two that end alike the longer one stands first. */
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

/** Tells which symbols a pattern means: `*` stands for any text, all else for itself, in upper or lower case. */
export const matcher = (pattern: string): ((symbol: string) => boolean) => {
  const literal = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
  const expression = new RegExp(`^${literal.join(".*")}$`, "iu")
  return (symbol) => expression.test(symbol)
}

/** Whether an entry of MARKETS names symbols by a pattern. */
export const isPattern = (symbol: string): boolean => symbol.includes("*")
