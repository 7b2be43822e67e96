import { Either, Schema } from "effect"
import type { Said } from "../../StatusWatch.ts"

/**
 * What a frame of the channel `status` says of products: `{channel, events: [{products: [{id, status, status_message}]}]}`, of all that
 * were asked for, again and again (docs.cdp.coinbase.com, Product status, 2026).
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

/** Of 100 products it has about 40 kB. */
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
