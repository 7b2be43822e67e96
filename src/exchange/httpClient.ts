import { FetchHttpClient } from "@effect/platform"
import type { HttpAgent } from "@effect/platform-node/NodeHttpClient"
import { Effect, Layer } from "effect"
import { proxyAgent } from "../proxies.ts"

/** The HTTP client for the REST interfaces of the exchanges: direct, or through the proxies that the environment names. */
export const httpClient = Layer.unwrapEffect(
  Effect.gen(function* () {
    const agent = yield* proxyAgent()
    if (agent === undefined) return FetchHttpClient.layer
    const NodeHttpClient = yield* Effect.promise(() => import("@effect/platform-node/NodeHttpClient"))
    return Layer.provide(
      NodeHttpClient.layerWithoutAgent,
      Layer.scoped(
        NodeHttpClient.HttpAgent,
        Effect.acquireRelease(
          Effect.succeed<HttpAgent>({
            [NodeHttpClient.HttpAgentTypeId]: NodeHttpClient.HttpAgentTypeId,
            http: agent,
            https: agent
          }),
          () => Effect.sync(() => agent.destroy())
        )
      )
    )
  })
)
