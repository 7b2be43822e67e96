import { Console, Effect, Option } from "effect"
import * as Simulator from "../../simulator/Simulator.ts"
import type { SimulateOptions } from "./options.ts"

/**
 * Runs a simulated exchange until it is interrupted, or for `duration`. Fails with `ResourceUnavailable` if the port is taken
 * or the record cannot be written.
 */
export const run = ({ duration, fault, record, symbols, ...options }: SimulateOptions) =>
  Effect.gen(function* () {
    const simulator = yield* Simulator.make({
      ...options,
      ...Option.match(symbols, { onNone: () => ({}), onSome: (symbols) => ({ symbols }) }),
      ...Option.match(fault, { onNone: () => ({}), onSome: (fault) => ({ fault }) }),
      ...Option.match(record, { onNone: () => ({}), onSome: (record) => ({ record }) })
    })
    yield* Console.log(
      `simulated ${simulator.exchange} on ${simulator.url()}, control on ${simulator.httpUrl("/control/status")}`
    )
    yield* Option.match(duration, { onNone: () => Effect.never, onSome: Effect.sleep })
  }).pipe(Effect.scoped)
