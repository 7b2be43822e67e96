import { Either, ParseResult, Schema } from "effect"

/** Reads a list of instruments in JSON, and takes from it what is traded. */
export const listOf =
  <A, I>(schema: Schema.Schema<A, I>, symbols: (list: A) => ReadonlyArray<string>) =>
  (text: string): Either.Either<ReadonlyArray<string>, string> =>
    Either.mapBoth(Schema.decodeUnknownEither(Schema.parseJson(schema))(text), {
      onLeft: (error) => ParseResult.TreeFormatter.formatErrorSync(error).split("\n").at(-1) ?? "not a list",
      onRight: symbols
    })

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
