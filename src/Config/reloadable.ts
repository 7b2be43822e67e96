import { Either, Option } from "effect"
import type { GivenSettings } from "../Config.ts"
import type { Given } from "./Given.ts"

/** What a settings file that was read again says about settings that are not simply taken over. */
export interface NotTaken {
  /** The settings that could be reloaded, but are in the environment, which takes precedence. */
  readonly fixed: ReadonlyArray<string>
  /** The settings that the file gives otherwise than it did at the start: they take effect with the next start. */
  readonly pending: ReadonlyArray<string>
}

const reloadable = ["MARKETS", "MARKET_SYMBOL", "LOG_LEVEL"]

/**
 * Compares what is given now with what was given at the start. A file without markets is refused if there were any: they would be
 * ended, for those of the default, because a file was emptied.
 */
export const compareGiven = (
  start: GivenSettings["given"],
  now: GivenSettings["given"]
): Either.Either<NotTaken, string> => {
  const hasMarkets = (given: GivenSettings["given"]) => given.has("MARKETS") || given.has("MARKET_SYMBOL")
  if (hasMarkets(start) && !hasMarkets(now)) {
    return Either.left("MARKETS: there are none in the file any more; name those to record")
  }
  const names = Array.from(new Set([...start.keys(), ...now.keys()]))
  return Either.right({
    fixed: reloadable.filter((name) => now.get(name)?._tag === "Variable"),
    pending: names.filter(
      (name) => !reloadable.includes(name) && textOf(start.get(name)) !== textOf(now.get(name))
    )
  })
}

const textOf = (given: Given | undefined): string =>
  Option.match(Option.fromNullable(given), {
    onNone: () => "",
    onSome: (given) => JSON.stringify(given._tag === "Variable" ? given.text : [given.value])
  })
