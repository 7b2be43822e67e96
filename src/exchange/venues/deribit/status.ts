import { Either, Schema } from "effect"
import { heartbeat } from "../../decoding/frames.ts"
import type { Frame } from "../../Exchange.ts"
import type { Said } from "../../StatusWatch.ts"

/**
 * `platform_state`: `{maintenance}` when a maintenance is about to start or is over, and `{price_index, locked}` for each index
 * whose instruments are locked or not, at the start and when it changes (docs.deribit.com, 2026). Unlocked is the usual state.
 */
export const readPlatformState = (frame: Buffer): Frame =>
  Either.match(decode(frame.toString("utf8", 0, maxBytes)), {
    onLeft: () => heartbeat,
    onRight: ({ params: { data } }) => ({ _tag: "Status", said: saidIn(data) })
  })

const saidIn = ({ locked, maintenance, price_index }: typeof State.Type): ReadonlyArray<Said> => [
  ...(maintenance === undefined
    ? []
    : [{ status: maintenance ? "maintenance" : "online", isUsual: !maintenance }]),
  ...(price_index === undefined || locked === undefined
    ? []
    : [{ status: locked ? "locked" : "online", subject: price_index, isUsual: !locked }])
]

const State = Schema.Struct({
  maintenance: Schema.optional(Schema.Boolean),
  price_index: Schema.optional(Schema.NonEmptyString),
  locked: Schema.optional(Schema.Boolean)
})

const decode = Schema.decodeUnknownEither(
  Schema.parseJson(Schema.Struct({ params: Schema.Struct({ data: State }) }))
)

/** In bytes. */
const maxBytes = 10_000
