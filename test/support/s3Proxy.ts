import {
  Agent,
  createServer,
  type IncomingMessage,
  type RequestOptions,
  request as requestTo,
  type Server,
  type ServerResponse
} from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, type Scope } from "effect"

/** What happens to a request for an archive. */
export type S3Fault =
  /** The request goes no further and is answered with this. */
  | { readonly _tag: "Status"; readonly status: number }
  /** It is never answered. */
  | { readonly _tag: "Hang" }
  /** The connection is reset in the middle of the request's body. */
  | { readonly _tag: "ResetRequest" }
  /** The server gets it; then the connection is reset before its answer. */
  | { readonly _tag: "LoseAnswer" }
  /** A bit of the body is another one when the server gets it. */
  | { readonly _tag: "FlipBit" }

/** A request for an archive, in the order in which they were answered (or not). */
export interface S3Request {
  readonly method: string
  readonly key: string
  /** As the client saw it; 0 if it got no answer. */
  readonly status: number
}

/** Stands in front of an S3 server. Requests for buckets and for parts of the journal always pass, and are not told of. */
export interface S3Proxy {
  readonly endpoint: string
  readonly requests: () => ReadonlyArray<S3Request>
  /** So many of the method's next requests meet the fault; after those of earlier calls. */
  readonly inject: (method: string, fault: S3Fault, times?: number) => Effect.Effect<void>
  /** Answers 500 to every request for one of the first so many objects that are put, rows or journal, until it is healed. */
  readonly refuseFirst: (count: number) => Effect.Effect<ReadonlySet<string>>
  /** All requests pass from now on; those that hang are cut off. */
  readonly heal: Effect.Effect<void>
}

/** Starts one for the scope. The host's name is passed on as the client sent it, since it is signed. */
export const makeS3Proxy = (server: string): Effect.Effect<S3Proxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const target = new URL(server)
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() => new Agent({ keepAlive: true })),
      (agent) => Effect.sync(() => agent.destroy())
    )
    const requests: Array<S3Request> = []
    const faults = new Map<string, Array<{ readonly fault: S3Fault; left: number }>>()
    const hanging = new Set<IncomingMessage>()
    let refused = new Set<string>()
    let refusals = 0

    const nextFault = (method: string): S3Fault | undefined => {
      const [first, ...rest] = faults.get(method) ?? []
      if (first === undefined) return undefined
      first.left--
      if (first.left <= 0) faults.set(method, rest)
      return first.fault
    }

    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      const method = request.method ?? ""
      const [, path = ""] = /^\/[^/?]+\/([^?]+)/.exec(request.url ?? "") ?? []
      if (path !== "" && method === "PUT" && refused.size < refusals) refused.add(path)
      const [, key] = /^\/[^/?]+\/(exchange[^?]+)/.exec(request.url ?? "") ?? []
      const fault = key === undefined ? undefined : nextFault(method)
      const note = (status: number) => {
        if (key !== undefined) requests.push({ method, key: decodeURIComponent(key), status })
      }
      const reset = () => {
        note(0)
        request.socket.resetAndDestroy()
      }
      request.on("error", () => {})
      response.on("error", () => {})
      if (fault?._tag === "ResetRequest") {
        request.once("data", reset)
        return
      }
      const body: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => body.push(chunk))
      request.once("end", () => {
        const status = refused.has(path) ? 500 : fault?._tag === "Status" ? fault.status : undefined
        if (status !== undefined) {
          note(status)
          response.writeHead(status, { "content-type": "application/xml" })
          response.end(method === "HEAD" ? undefined : `<Error><Code>Injected</Code></Error>`)
          return
        }
        if (fault?._tag === "Hang") {
          note(0)
          hanging.add(request)
          return
        }
        const options: RequestOptions = {
          host: target.hostname,
          port: target.port,
          agent,
          method,
          path: request.url ?? "/",
          headers: request.headers
        }
        const passedOn = requestTo(options, (answer) => {
          if (fault?._tag === "LoseAnswer") {
            answer.resume()
            reset()
            return
          }
          note(answer.statusCode ?? 0)
          response.writeHead(answer.statusCode ?? 502, answer.headers)
          answer.pipe(response)
        })
        passedOn.on("error", () => request.socket.resetAndDestroy())
        const bytes = Buffer.concat(body)
        if (fault?._tag === "FlipBit") bytes.writeUInt8(bytes.readUInt8(0) ^ 1)
        passedOn.end(bytes)
      })
    }

    const port = yield* Effect.map(
      Effect.acquireRelease(listen(handle), (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
      ),
      (server) => {
        const address: AddressInfo | string | null = server.address()
        return address === null || typeof address === "string" ? 0 : address.port
      }
    )
    return {
      endpoint: `http://127.0.0.1:${port}`,
      requests: () => requests,
      inject: (method, fault, times = 1) =>
        Effect.sync(() => void faults.set(method, [...(faults.get(method) ?? []), { fault, left: times }])),
      refuseFirst: (count) =>
        Effect.sync(() => {
          refusals = count
          return refused
        }),
      heal: Effect.sync(() => {
        refusals = 0
        refused = new Set()
        faults.clear()
        for (const request of hanging) request.socket.resetAndDestroy()
        hanging.clear()
      })
    }
  })

const listen = (handle: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.async<Server>((resume) => {
    const server = createServer(handle)
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  })
