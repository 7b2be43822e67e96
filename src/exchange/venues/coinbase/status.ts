import { Either, Schema } from "effect"
import type { Said } from "../../StatusWatch.ts"

/**
 * Reads the status of products from a frame of the channel `status`: `{channel, events: [{products: [{id, status,
 * status_message}]}]}`, repeatedly for all products subscribed to (docs.cdp.coinbase.com, Product status, 2026).
 */
export const readStatus = (frame: Buffer): ReadonlyArray<Said> =>
  Either.match(decode(frame.toString("utf8", 0, maxBytes)), {
    onLeft: () => [],
    onRight: ({ events }) =>
      events.flatMap(({ products }) =>
        products.map(({ id, status, status_message = "" }) => ({
          status,
          subject: id,
          ...(status_message === "" ? {} : { text: status_message }),
          ...(status === "online" ? { isUsual: true } : {})
        }))
      )
  })

/** 100 products take about 40 kB. */
const maxBytes = 4_000_000

const decode = Schema.decodeUnknownEither(
  Schema.parseJson(
    Schema.Struct({
      channel: Schema.Literal("status"),
      events: Schema.Array(
        Schema.Struct({
          products: Schema.Array(
            Schema.Struct({
              id: Schema.NonEmptyString,
              status: Schema.NonEmptyString,
              status_message: Schema.optional(Schema.String)
            })
          )
        })
      )
    })
  )
)
