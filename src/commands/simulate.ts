import { Command } from "@effect/cli"
import { loaded } from "./loaded.ts"
import { simulateOptions } from "./simulate/options.ts"

/** `simulate`: runs a simulated exchange on loopback. */
export const simulate = Command.make(
  "simulate",
  simulateOptions,
  loaded(() => import("./simulate/run.ts"))
).pipe(
  Command.withDescription(
    "Runs a simulated exchange on loopback: real WebSockets, a synthetic market, and misbehaviour on demand."
  )
)
