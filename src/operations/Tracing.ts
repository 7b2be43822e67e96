import { Effect, Layer } from "effect"

/**
 * Sends the spans of the calling thread to an OpenTelemetry collector, whose OTLP/HTTP endpoint is given as
 * `http://127.0.0.1:4318`; none without one. While it does not take them they are thrown away.
 */
export const layer = ({
  otlpEndpoint,
  serverName
}: {
  readonly otlpEndpoint?: URL
  /** Names this collector. */
  readonly serverName: string
}): Layer.Layer<never> =>
  otlpEndpoint === undefined
    ? Layer.empty
    : Layer.unwrapEffect(
        Effect.map(
          Effect.promise(() => import("./Tracing/otlp.ts")),
          (otlp) => otlp.layer(otlpEndpoint, serverName)
        )
      )
