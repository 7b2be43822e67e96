import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import { FetchHttpClient } from "@effect/platform"
import { Layer } from "effect"
import { version } from "../../version.ts"

/** Loaded only if there is an endpoint. */
export const layer = (endpoint: URL, serverName: string): Layer.Layer<never> =>
  OtlpTracer.layer({
    url: `${endpoint.href.replace(/\/+$/, "")}/v1/traces`,
    resource: {
      serviceName: "crypto-collector",
      serviceVersion: version,
      attributes: { "service.instance.id": serverName }
    },
    exportInterval: "2 seconds",
    shutdownTimeout: "1 second"
  }).pipe(Layer.provide(OtlpSerialization.layerJson), Layer.provide(FetchHttpClient.layer))
