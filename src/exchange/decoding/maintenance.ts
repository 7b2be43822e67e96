import { Either, Schema } from "effect"
import type { Said } from "../StatusWatch.ts"

/**
 * Returns the maintenances in a frame, `{data: [{title, state, begin, end, ...}]}` as OKX and Bybit write it, or in an answer
 * with `{result: {list: [...]}}`: `scheduled`, `ongoing`, `pre_open`, `completed` or `canceled`; the latest of each title.
 * Those of demo trading (`env` 2) are left out. Returns none if it is unreadable.
 */
export const maintenancesIn = (frame: Buffer): ReadonlyArray<Said> =>
  Either.match(decode(frame.toString("utf8", 0, maxBytes)), {
    onLeft: () => [],
    onRight: (told) => {
      const list = ("data" in told ? told.data : told.result.list)
        .filter(({ env }) => String(env) !== demoTrading)
        .toSorted((a, b) => Number(a.begin ?? 0) - Number(b.begin ?? 0))
      return Array.from(
        new Map(list.map((one) => [one.title, one])).values(),
        ({ begin, end, state, title }) => ({
          status: state,
          subject: title,
          text: [begin, end].map(timeOf).join(" to ")
        })
      )
    }
  })

const maxBytes = 1_048_576

/** With or without quotes. */
const Whole = Schema.Union(Schema.String, Schema.Number)

const Maintenances = Schema.Array(
  Schema.Struct({
    state: Schema.NonEmptyString,
    env: Schema.optional(Whole),
    title: Schema.optionalWith(Schema.String, { default: () => "maintenance" }),
    begin: Schema.optional(Whole),
    end: Schema.optional(Whole)
  })
)

const decode = Schema.decodeUnknownEither(
  Schema.parseJson(
    Schema.Union(
      Schema.Struct({ data: Maintenances }),
      Schema.Struct({ result: Schema.Struct({ list: Maintenances }) })
    )
  )
)

const demoTrading = "2"

/** Formats a time given as milliseconds in a string. */
const timeOf = (millis: string | number | undefined): string =>
  /^\d{1,15}$/.test(String(millis)) ? new Date(Number(millis)).toISOString() : "?"
