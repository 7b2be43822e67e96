import type { AgentOptions } from "node:https"
import { Effect } from "effect"
import { isAnyProxyNamed } from "./proxies/environment.ts"

/** For Node's requests where the environment names proxies; undefined where it does not, and then nothing is loaded. */
export const proxyAgent = (options: AgentOptions = {}) =>
  Effect.suspend(() =>
    isAnyProxyNamed()
      ? Effect.map(
          Effect.promise(() => import("./proxies/Agent.ts")),
          ({ EnvironmentAgent }) => new EnvironmentAgent(options)
        )
      : Effect.succeed(undefined)
  )
