import type { IncomingMessage, ServerResponse } from "node:http"
import { makeLimiter } from "./limiter.ts"
import type { SimulatedListing } from "./listing.ts"
import type { Protocol } from "./Protocol.ts"

/** How the REST interface, except for the list of instruments, misbehaves for a time. */
export interface RestFault {
  /** Answers with this HTTP status; undefined to answer as usual. */
  readonly status: number | undefined
  /** The seconds of the header `Retry-After`; undefined for none. */
  readonly retryAfter: number | undefined
  /** Milliseconds before each answer. */
  readonly delay: number
  /** The time until which it lasts, by `performance.now()`. */
  readonly until: number
}

/** The REST interface of a simulated exchange. */
export interface RestServer {
  /** Answers a request if it is for a path of the exchange. Returns whether it is. */
  readonly handle: (request: IncomingMessage, response: ServerResponse) => boolean
  readonly misbehave: (fault: RestFault) => void
  readonly heal: () => void
  /** Requests so far, without those for the list of instruments. */
  readonly requests: () => number
}

/** Serves the list of instruments, and what else the protocol offers within its limits: beyond them it answers 429. */
export const makeRestServer = (options: {
  readonly protocol: Protocol
  readonly listing: SimulatedListing
  readonly violated: (rule: string) => void
  /** Milliseconds since the epoch. */
  readonly clock: () => number
}): RestServer => {
  const { clock, listing, protocol, violated } = options
  const limiters = (protocol.rest?.weights ?? []).map(makeLimiter)
  const none: RestFault = { status: undefined, retryAfter: undefined, delay: 0, until: 0 }
  let fault = none
  let requests = 0

  const answer = (
    response: ServerResponse,
    status: number,
    body: unknown,
    headers: Readonly<Record<string, string>> = {}
  ): void => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body))
  }

  const admits = (weight: number): boolean => {
    let isWithin = true
    for (const limiter of limiters) {
      for (let i = 0; i < weight; i++) isWithin = limiter(performance.now()) && isWithin
    }
    if (!isWithin) violated("weight")
    return isWithin
  }

  return {
    handle: (request, response) => {
      const url = request.url ?? ""
      const [path = "", query] = url.split("?")
      const parameters = new URLSearchParams(query)
      if (path === protocol.instruments.path) {
        readBody(request, (body) =>
          answer(response, 200, protocol.instruments.list(listing.answer(url + body), parameters, body))
        )
        return true
      }
      const route = protocol.rest?.route(path, parameters, clock)
      if (route === undefined) return false
      request.resume()
      requests++
      const { delay, retryAfter, status } = performance.now() < fault.until ? fault : none
      const isWithin = admits(route.weight)
      const reply = () => {
        const wait = retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }
        if (status !== undefined) answer(response, status, { code: -1003, msg: "refused on demand" }, wait)
        else if (isWithin) answer(response, 200, route.body())
        else answer(response, 429, { code: -1003, msg: "too many requests" }, { "retry-after": "60" })
      }
      if (delay > 0) setTimeout(reply, delay).unref()
      else reply()
      return true
    },
    misbehave: (next) => {
      fault = next
    },
    heal: () => {
      fault = none
    },
    requests: () => requests
  }
}

/** Passes on the body of a request, as text of at most 100,000 characters. */
const readBody = (request: IncomingMessage, onBody: (body: string) => void): void => {
  let body = ""
  request.setEncoding("utf8")
  request.on("data", (text: string) => {
    if (body.length < 100_000) body += text
  })
  request.on("end", () => onBody(body))
}
