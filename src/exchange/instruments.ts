import { Either, ParseResult, Schema } from "effect"

/** Reads a list of instruments in JSON, and takes from it what is traded. */
export const listOf =
  <A, I>(schema: Schema.Schema<A, I>, symbols: (list: A) => ReadonlyArray<string>) =>
  (text: string): Either.Either<ReadonlyArray<string>, string> =>
    Either.mapBoth(Schema.decodeUnknownEither(Schema.parseJson(schema))(text), {
      onLeft: (error) => ParseResult.TreeFormatter.formatErrorSync(error).split("\n").at(-1) ?? "not a list",
      onRight: symbols
    })

/** Reads a symbol in the spelling of the exchange; left is what is `allowed`, in words. */
export const symbolLike =
  (pattern: RegExp, allowed: string, spell: (text: string) => string = (text) => text.toUpperCase()) =>
  (text: string): Either.Either<string, string> => {
    const symbol = spell(text)
    return pattern.test(symbol) ? Either.right(symbol) : Either.left(allowed)
  }

/** Tells which symbols a pattern means: `*` stands for any text, all else for itself, in upper or lower case. */
export const matcher = (pattern: string): ((symbol: string) => boolean) => {
  const literal = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
  const expression = new RegExp(`^${literal.join(".*")}$`, "iu")
  return (symbol) => expression.test(symbol)
}

/** Whether an entry of MARKETS names symbols by a pattern. */
export const isPattern = (symbol: string): boolean => symbol.includes("*")
