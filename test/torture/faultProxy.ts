import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as requestTo,
  type ServerResponse
} from "node:http"
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket
} from "node:net"
import { Effect, type Scope } from "effect"

/** What the network or the store does wrong with requests for objects of rows. */
export type Fault =
  | "refused"
  | "reset in the body"
  | "stalled"
  | "500"
  | "503"
  | "SlowDown"
  | "answer lost"
  | "wrong length"
  | "wrong checksum"
  | "HEAD 404 after PUT"
  | "ExpiredToken"
  | "RequestTimeTooSkewed"

export const faults: ReadonlyArray<Fault> = [
  "refused",
  "reset in the body",
  "stalled",
  "500",
  "503",
  "SlowDown",
  "answer lost",
  "wrong length",
  "wrong checksum",
  "HEAD 404 after PUT",
  "ExpiredToken",
  "RequestTimeTooSkewed"
]

export interface FaultProxy {
  readonly endpoint: string
  readonly set: (fault: Fault | undefined) => Effect.Effect<void>
}

/** Leaves an object that is cut off under a key, as a server does whose upload is killed. */
export type LeaveShort = (key: string, bytes: Uint8Array) => Promise<void>

/** A TCP port in front of an S3 server. Faults of the network happen to its bytes; those of the store to its answers. */
export const makeFaultProxy = (
  server: string,
  leaveShort: LeaveShort
): Effect.Effect<FaultProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const target = new URL(server)
    let fault: Fault | undefined
    const sockets = new Set<Socket>()

    const answer = (response: ServerResponse, status: number, code: string) => {
      response.writeHead(status, { "content-type": "application/xml" })
      response.end(response.req.method === "HEAD" ? undefined : `<Error><Code>${code}</Code></Error>`)
    }

    const handle = (request: IncomingMessage, response: ServerResponse) => {
      request.on("error", () => {})
      response.on("error", () => {})
      const isPut = request.method === "PUT"
      const current = /^\/[^/?]+\/exchange/.test(request.url ?? "") ? fault : undefined
      if (current === "reset in the body" && isPut)
        return void request.once("data", () => request.socket.resetAndDestroy())
      if (current === "stalled" && isPut) return void request.resume()
      const body: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => body.push(chunk))
      request.once("end", () => {
        if (current === "500" || current === "503") return answer(response, Number(current), "InternalError")
        if (current === "SlowDown") return answer(response, 503, current)
        if (current === "ExpiredToken") return answer(response, 400, current)
        if (current === "RequestTimeTooSkewed") return answer(response, 403, current)
        if (current === "wrong length" && isPut) {
          const [, , ...key] = decodeURIComponent((request.url ?? "").split("?")[0] ?? "").split("/")
          const bytes = Buffer.concat(body)
          leaveShort(key.join("/"), bytes.subarray(0, bytes.length - 17)).then(
            () => response.writeHead(200).end(),
            () => answer(response, 500, "InternalError")
          )
          return
        }
        const passedOn = requestTo(
          {
            host: target.hostname,
            port: target.port,
            method: request.method,
            path: request.url,
            headers: request.headers
          },
          (real) => {
            const isHead = request.method === "HEAD" && real.statusCode === 200
            if (current === "answer lost" && isPut) return void request.socket.resetAndDestroy()
            if (current === "HEAD 404 after PUT" && isHead) {
              real.resume()
              return answer(response, 404, "NotFound")
            }
            response.writeHead(real.statusCode ?? 502, isHead ? altered(real.headers, current) : real.headers)
            real.pipe(response)
          }
        )
        passedOn.on("error", () => request.socket.resetAndDestroy())
        passedOn.end(Buffer.concat(body))
      })
    }

    const http = yield* listening(() => createServer(handle))
    const tcp = createTcpServer((socket) => {
      const onward = connect(portOf(http), "127.0.0.1")
      for (const [from, to] of [
        [socket, onward],
        [onward, socket]
      ] as const) {
        sockets.add(from)
        from.on("error", () => to.destroy())
        from.once("close", () => {
          sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    })
    const open = (port: number) =>
      Effect.async<void>((resume) => void tcp.listen(port, "127.0.0.1", () => resume(Effect.void)))
    const close = Effect.async<void>((resume) => {
      tcp.close(() => resume(Effect.void))
      for (const socket of sockets) socket.destroy()
    })
    yield* open(0)
    yield* Effect.addFinalizer(() => close)
    const port = portOf(tcp)
    return {
      endpoint: `http://127.0.0.1:${port}`,
      set: (next) =>
        Effect.gen(function* () {
          if (next === "refused") yield* close
          else if (fault === "refused") yield* open(port)
          fault = next
        })
    }
  })

const listening = (make: () => Server) =>
  Effect.acquireRelease(
    Effect.async<Server>((resume) => {
      const server = make()
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  )

const portOf = (server: Server): number => {
  const address: AddressInfo | string | null = server.address()
  return address === null || typeof address === "string" ? 0 : address.port
}

const altered = (headers: IncomingMessage["headers"], fault: Fault | undefined): OutgoingHttpHeaders => {
  if (fault !== "wrong checksum") return headers
  return {
    ...headers,
    "x-amz-checksum-sha256": Buffer.alloc(32).toString("base64"),
    "x-amz-meta-sha256": "0".repeat(64)
  }
}
