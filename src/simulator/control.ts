import type { RequestListener } from "node:http"
import { Either } from "effect"
import { type Fault, parseFault } from "./Fault.ts"
import type { FaultReport } from "./faults.ts"
import { faultNames } from "./names.ts"
import type { SimulatorStatus } from "./SimulatorStatus.ts"

/** The operations available over HTTP. */
export interface Controls {
  readonly inject: (fault: Fault) => FaultReport
  readonly heal: () => void
  readonly status: () => SimulatorStatus
  readonly flush: (done: (failure: string | null) => void) => void
}

/**
 * HTTP on the same port as the WebSockets and the exchange's own REST interface, for running the simulator as a process of its
 * own. Answers are JSON:
 *
 * - `GET /control/status`: `SimulatorStatus`
 * - `POST /control/<fault>?<parameters>`: `FaultReport`; 400 `{"error":".."}` for parameters that are not allowed
 * - `POST /control/heal`: ends silence and refusal, and cancels pending faults
 * - `POST /control/flush`: writes the record up to now; 500 if it could not be written
 */
export const controlHandler =
  (controls: Controls): RequestListener =>
  (request, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`)
    }
    request.resume()
    const [, name, query] = /^\/control\/([a-z]+)(\?.*)?$/.exec(request.url ?? "") ?? []
    if (name === undefined) return answer(404, { error: "not a path of the simulator" })
    const method = name === "status" ? "GET" : "POST"
    if (request.method !== method) return answer(405, { error: `use ${method}` })

    switch (name) {
      case "status":
        return answer(200, controls.status())
      case "heal":
        controls.heal()
        return answer(200, { healed: true })
      case "flush":
        return controls.flush((failure) =>
          failure === null ? answer(200, { flushed: true }) : answer(500, { error: failure })
        )
    }
    if (!faultNames.some((known) => known === name)) return answer(404, { error: `no such control: ${name}` })
    Either.match(parseFault(name + (query ?? "")), {
      onLeft: (error) => answer(400, { error }),
      onRight: (fault) => answer(200, controls.inject(fault))
    })
  }
