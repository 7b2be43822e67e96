import { Array as Arr, Either, Option } from "effect"
import type { MarketPattern } from "../domain/MarketPattern.ts"
import type { Markets } from "../domain/Markets.ts"
import { quote } from "../domain/quote.ts"
import { type MarketStream, type MarketType, streamKey } from "../domain/StreamId.ts"
import { didYouMean } from "../domain/similarWords.ts"
import { allTypes } from "../exchange/allTypes.ts"
import type { Exchange } from "../exchange/Exchange.ts"
import type { Sources } from "./Given.ts"
import { blank, check, describe, type Rule } from "./Rule.ts"
import { problem, type Validated } from "./Validated.ts"

type Exchanges = ReadonlyMap<string, Exchange>

type Entry = MarketStream | MarketPattern

/**
 * Reads the streams of MARKETS or MARKET_SYMBOL, each once, in the order given. Both in the same place are a problem; one in
 * the environment takes precedence over the other in the file. A variable without text is a mistake here, unless the other one
 * is set: the collector would record something unintended, for as long as nobody looks.
 */
export const markets = (sources: Sources, exchanges: Exchanges): Validated<Markets> =>
  Either.map(entries(sources, exchanges), (entries) => {
    const [streams, patterns] = Arr.partition(entries, isPattern)
    return { streams, patterns }
  })

const isPattern = (entry: Entry): entry is MarketPattern => "pattern" in entry

const entries = (sources: Sources, exchanges: Exchanges): Validated<ReadonlyArray<Entry>> => {
  const given = Option.all({ list: sources.find("MARKETS"), symbol: sources.find("MARKET_SYMBOL") })
  if (Option.isSome(given) && given.value.list._tag === given.value.symbol._tag) {
    const { list, symbol } = given.value
    return problem(
      `${describe(list, "value")} and ${describe(symbol, "value")} are both set: MARKET_SYMBOL is short for MARKETS=binance:<symbol>:orderbook, only one can be used`
    )
  }
  const first = sources.find("MARKETS", "MARKET_SYMBOL")
  if (Option.isNone(first)) {
    const empty = ["MARKETS", "MARKET_SYMBOL"].find(sources.isBlank)
    return empty === undefined
      ? Either.mapLeft(parseMarkets(defaultMarkets, exchanges), (line) => [
          `MARKETS=${quote(defaultMarkets)} (the default): ${line}`
        ])
      : blank(empty, "must not be empty (leave the variable out for the default)")
  }
  const setting = first.value
  if (setting._tag === "FileEntry" && setting.name === "MARKETS" && Array.isArray(setting.value)) {
    return Either.mapLeft(marketTables(setting.value, exchanges), (line) => [
      `MARKETS (${setting.key} in ${setting.file}): ${line}`
    ])
  }
  return check(setting, setting.name === "MARKETS" ? listRule(exchanges) : symbolRule(exchanges))
}

const defaultMarkets = "binance:btcusdt:orderbook+trade"

const defaultTypes = ["orderbook", "trade"]

const listRule = (exchanges: Exchanges): Rule<ReadonlyArray<Entry>> => ({
  type: "text",
  show: "value",
  parse: (text) => parseMarkets(text, exchanges)
})

const symbolRule = (exchanges: Exchanges): Rule<ReadonlyArray<Entry>> => ({
  type: "text",
  show: "value",
  parse: (text) => market({ exchange: "binance", symbol: text, types: ["orderbook"] }, exchanges)
})

/** Parses `exchange:symbol[:type+type]`, separated by commas. A `*` in a symbol stands for any text. */
const parseMarkets = (text: string, exchanges: Exchanges): Either.Either<ReadonlyArray<Entry>, string> =>
  each(text.split(","), (entry, position) => {
    const parts = entry.split(":").map((part) => part.trim())
    const [exchange = "", symbol, types] = parts
    if (entry.trim() === "") return Either.left(`entry ${position} is empty`)
    return symbol === undefined || parts.length > 3
      ? Either.left(`${quote(entry.trim())} must be exchange:symbol or exchange:symbol:type+type`)
      : Either.mapLeft(
          market({ exchange, symbol, types: types?.split("+") }, exchanges),
          (line) => `${quote(entry.trim())}: ${line}`
        )
  })

/** Reads `[[markets]]` of the settings file. */
const marketTables = (tables: ReadonlyArray<unknown>, exchanges: Exchanges) =>
  tables.length === 0
    ? Either.left("must name at least one market")
    : each(tables, (table, position) =>
        Either.mapLeft(marketTable(table, exchanges), (line) => `entry ${position}: ${line}`)
      )

const marketTable = (table: unknown, exchanges: Exchanges): Either.Either<ReadonlyArray<Entry>, string> => {
  if (typeof table !== "object" || table === null || Array.isArray(table)) {
    return Either.left("must be a table: [[markets]] with exchange, symbol and types")
  }
  const values = new Map<string, unknown>(Object.entries(table))
  const unknown = Array.from(values.keys()).filter((key) => !tableKeys.includes(key))
  if (unknown.length > 0) {
    return Either.left(
      unknown.map((key) => `there is no ${quote(key)}${didYouMean(key, tableKeys)}`).join("; ")
    )
  }
  const exchange = values.get("exchange")
  const symbol = values.get("symbol")
  const types = values.get("types")
  if (typeof exchange !== "string") return Either.left("exchange must be given, as a text in quotes")
  if (typeof symbol !== "string") return Either.left("symbol must be given, as a text in quotes")
  if (types !== undefined && !isTexts(types)) {
    return Either.left('types must be an array of texts, as ["orderbook", "trade"]')
  }
  return market({ exchange: exchange.trim(), symbol: symbol.trim(), types }, exchanges)
}

const tableKeys = ["exchange", "symbol", "types"]

/** Reads one entry, whichever way it was written. */
const market = (
  entry: {
    readonly exchange: string
    readonly symbol: string
    readonly types: ReadonlyArray<string> | undefined
  },
  exchanges: Exchanges
): Either.Either<ReadonlyArray<Entry>, string> => {
  const names = Array.from(exchanges.keys())
  const exchange = exchanges.get(entry.exchange.toLowerCase())
  if (exchange === undefined) {
    return Either.left(
      `there is no exchange ${quote(entry.exchange)}${didYouMean(entry.exchange, names)}, but ${names.join(", ")}`
    )
  }
  if (entry.symbol.includes("*")) {
    return patternText.test(entry.symbol)
      ? Either.map(dataTypes(exchange, entry.types, undefined), (dataTypes) => [
          { exchange: exchange.name, pattern: entry.symbol, dataTypes }
        ])
      : Either.left(`pattern ${quote(entry.symbol)} must be letters, digits, separators and *`)
  }
  const symbol = Either.mapLeft(
    exchange.parseSymbol(entry.symbol),
    (allowed) => `symbol ${quote(entry.symbol)} must be ${allowed}`
  )
  const types = dataTypes(exchange, entry.types, Either.getOrUndefined(symbol))
  const problems = Arr.getLefts([symbol, types])
  return problems.length > 0
    ? Either.left(problems.join("; "))
    : Either.zipWith(types, symbol, (types, symbol) =>
        types.map((dataType) => ({ exchange: exchange.name, symbol, dataType }))
      )
}

const patternText = /^[\p{L}\p{N}*/_.-]{1,60}$/u

/**
 * The types by name; `derivatives` stands for all that a perpetual has. Without names: order books and trades if the exchange
 * has them, otherwise everything that it has a channel for. `symbol` is undefined for a pattern.
 */
const dataTypes = (
  exchange: Exchange,
  names: ReadonlyArray<string> | undefined,
  symbol: string | undefined
): Either.Either<ReadonlyArray<MarketType>, string> => {
  const offered = allTypes(exchange, symbol)
  if (names === undefined) {
    const usual = offered.filter((type) => defaultTypes.includes(type))
    return Either.right(
      usual.length > 0 ? usual : offered.filter((type) => exchange.dataTypes.includes(type))
    )
  }
  if (names.length === 0) return Either.left("types must not be empty")
  const isDerivative = offered.some((type) => derivativeTypes.includes(type))
  const allowed = isDerivative ? [...offered, derivatives] : offered
  const types: Array<MarketType> = []
  const problems: Array<string> = []
  for (const name of names) {
    const wanted = name.trim().toLowerCase()
    const type = offered.find((type) => type === wanted)
    if (type !== undefined) types.push(type)
    else if (isDerivative && wanted === derivatives) types.push(...offered)
    else {
      const whose = symbol === undefined || exchange.typesOf === undefined ? "" : ` for ${symbol}`
      const carrier = Object.entries(exchange.carriedBy ?? {}).find(([type]) => type === wanted)?.[1]
      const hint =
        carrier === undefined
          ? didYouMean(wanted, allowed)
          : ` (it comes with its messages of type ${carrier})`
      problems.push(
        `${exchange.name} has no type ${quote(name.trim())}${whose}${hint}, but ${allowed.join(", ")}`
      )
    }
  }
  return problems.length > 0 ? Either.left(problems.join("; ")) : Either.right([...new Set(types)])
}

const derivatives = "derivatives"

/** What only derivatives have. */
const derivativeTypes: ReadonlyArray<MarketType> = ["funding", "mark_price", "open_interest", "liquidation"]

/**
 * Collects the streams and patterns of all entries, each once, or everything that is wrong with them, in one line. `position`
 * counts from 1.
 */
const each = <A>(
  entries: ReadonlyArray<A>,
  streamsOf: (entry: A, position: number) => Either.Either<ReadonlyArray<Entry>, string>
): Either.Either<ReadonlyArray<Entry>, string> => {
  const parts = entries.map((entry, index) => streamsOf(entry, index + 1))
  const problems = Arr.getLefts(parts)
  if (problems.length > 0) return Either.left(problems.join("; "))
  const all = Arr.getRights(parts).flat()
  return Either.right(Array.from(new Map(all.map((entry) => [keyOf(entry), entry])).values()))
}

const keyOf = (entry: Entry): string =>
  isPattern(entry)
    ? `${entry.exchange}:${entry.pattern.toLowerCase()}:${entry.dataTypes.join("+")}`
    : streamKey(entry)

const isTexts = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((item) => typeof item === "string")
