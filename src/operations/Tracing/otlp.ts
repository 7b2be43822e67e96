import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import { FetchHttpClient } from "@effect/platform"
import { Layer } from "effect"
import { version } from "../../version.ts"

export interface TracingOptions {
  readonly otlpEndpoint: URL
  /** Names this collector. */
  readonly serverName: string
}

export const layer = ({ otlpEndpoint, serverName }: TracingOptions): Layer.Layer<never> =>
  OtlpTracer.layer({
    url: `${otlpEndpoint.href.replace(/\/+$/, "")}/v1/traces`,
    resource: {
      serviceName: "crypto-collector",
      serviceVersion: version,
      attributes: { "service.instance.id": serverName }
    },
    exportInterval: "2 seconds",
    shutdownTimeout: "1 second"
  }).pipe(Layer.provide(OtlpSerialization.layerJson), Layer.provide(FetchHttpClient.layer))
