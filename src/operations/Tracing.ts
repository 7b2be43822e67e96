import { Effect, Layer } from "effect"

/**
 * Sends the spans of the calling thread to an OpenTelemetry collector, whose OTLP/HTTP endpoint is given as
 * `http://127.0.0.1:4318`; does nothing without an endpoint. Spans are discarded while the collector does not accept them.
 */
export const layer = ({
  otlpEndpoint,
  serverName
}: {
  readonly otlpEndpoint?: URL
  /** Identifies this collector. */
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
