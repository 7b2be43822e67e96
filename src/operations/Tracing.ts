import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import { FetchHttpClient } from "@effect/platform"
import { Layer } from "effect"
import { version } from "../version.ts"

/**
 * Sends the spans of the calling thread to an OpenTelemetry collector, whose OTLP/HTTP endpoint is given as
 * `http://127.0.0.1:4318`; none without one. While it does not take them they are thrown away.
 */
export const layer = (options: {
  readonly otlpEndpoint?: URL
  /** Names this collector. */
  readonly serverName: string
}): Layer.Layer<never> =>
  options.otlpEndpoint === undefined
    ? Layer.empty
    : OtlpTracer.layer({
        url: `${options.otlpEndpoint.href.replace(/\/+$/, "")}/v1/traces`,
        resource: {
          serviceName: "crypto-collector",
          serviceVersion: version,
          attributes: { "service.instance.id": options.serverName }
        },
        exportInterval: "2 seconds",
        shutdownTimeout: "1 second"
      }).pipe(Layer.provide(OtlpSerialization.layerJson), Layer.provide(FetchHttpClient.layer))
