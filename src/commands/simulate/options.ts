import { type Command, HelpDoc, Options, ValidationError } from "@effect/cli"
import { Duration, Effect, Either } from "effect"
import { exchangeNames, faultNames } from "../../simulator/names.ts"

const invalidValue = (text: string) => ValidationError.invalidValue(HelpDoc.p(text))
const invalid = (text: string) => Effect.fail(invalidValue(text))

export const simulateOptions = {
  exchange: Options.choice("exchange", exchangeNames).pipe(
    Options.withDescription("The exchange to simulate."),
    Options.withDefault("binance")
  ),
  port: Options.integer("port").pipe(
    Options.withDescription("Port to listen on; 0 for any that is free."),
    Options.withDefault(9443)
  ),
  host: Options.text("host").pipe(
    Options.withDescription("Address to listen on."),
    Options.withDefault("127.0.0.1")
  ),
  rate: Options.text("rate").pipe(
    Options.withDescription(
      'Messages per second of each stream; "max" or 0 for as fast as clients take them.'
    ),
    Options.withDefault("10"),
    Options.mapEffect((text) => {
      const rate = text === "max" ? 0 : Number(text)
      return text.trim() !== "" && Number.isFinite(rate) && rate >= 0
        ? Effect.succeed(rate)
        : invalid(`--rate ${text}: expected a number of messages per second, or "max"`)
    })
  ),
  symbols: Options.text("symbols").pipe(
    Options.withDescription(
      "Symbols that exist, comma-separated; others have no streams. Default: a few of the exchange's own."
    ),
    Options.map((text) => text.split(",").map((symbol) => symbol.trim())),
    Options.map((symbols) => symbols.filter((symbol) => symbol !== "")),
    Options.optional
  ),
  seed: Options.integer("seed").pipe(
    Options.withDescription("The same seed gives the same market."),
    Options.withDefault(1)
  ),
  idle: Options.choice("idle", ["advance", "wait"]).pipe(
    Options.withDescription(
      "What a stream's market does while nobody listens to it: go on unheard, or stand still."
    ),
    Options.withDefault("advance" as const)
  ),
  bookBytes: Options.integer("book-bytes").pipe(
    Options.withDescription(
      "Minimum size of a book with 20 levels, bytes; 0 for its natural size of about 1300."
    ),
    Options.withDefault(0)
  ),
  fault: Options.text("fault").pipe(
    Options.withDescription(
      `A fault to repeat, with parameters as in "skip?stream=btcusdt@trade&count=3": ${faultNames.join(", ")}.`
    ),
    Options.mapEffect((text) =>
      Effect.flatMap(
        Effect.promise(() => import("../../simulator/Fault.ts")),
        ({ parseFault }) => Either.mapLeft(parseFault(text), (reason) => invalidValue(`--fault ${reason}`))
      )
    ),
    Options.optional
  ),
  faultEvery: seconds("fault-every", "Seconds between faults.").pipe(
    Options.withDefault(Duration.seconds(10))
  ),
  record: Options.text("record").pipe(
    Options.withDescription("File to write every sent message to, as JSON lines; overwritten."),
    Options.optional
  ),
  duration: seconds("duration", "Seconds after which to stop; without, it runs until interrupted.").pipe(
    Options.optional
  )
}

/** The parsed command line. */
export type SimulateOptions = Command.Command.ParseConfig<typeof simulateOptions>

function seconds(name: string, description: string): Options.Options<Duration.Duration> {
  return Options.float(name).pipe(
    Options.withDescription(description),
    Options.mapEffect((value) =>
      value > 0
        ? Effect.succeed(Duration.seconds(value))
        : invalid(`--${name} ${value}: expected a number of seconds above 0`)
    )
  )
}
