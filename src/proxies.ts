import type { AgentOptions } from "node:https"
import { Effect } from "effect"
import { isAnyProxyNamed } from "./proxies/environment.ts"

/** An agent for Node's requests if the environment names proxies; otherwise undefined, and then nothing is loaded. */
export const proxyAgent = (options: AgentOptions = {}) =>
  Effect.suspend(() =>
    isAnyProxyNamed()
      ? Effect.map(
          Effect.promise(() => import("./proxies/Agent.ts")),
          ({ EnvironmentAgent }) => new EnvironmentAgent(options)
        )
      : Effect.succeed(undefined)
  )
