import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, type Scope } from "effect"

/** What a server does with a request. */
export type Behaviour = (request: IncomingMessage, response: ServerResponse) => void

/** An HTTP server on loopback that answers as it is told to. */
export interface FaultyS3 {
  readonly endpoint: string
  /** The requests that came, as `METHOD /path`. */
  readonly requests: ReadonlyArray<string>
  /** How many connections are open. */
  readonly connections: Effect.Effect<number>
}

/** Starts one for the scope. `answer` decides by method and by how many requests of that method came before. */
export const faultyS3 = (
  answer: (method: string, before: number) => Behaviour
): Effect.Effect<FaultyS3, never, Scope.Scope> =>
  Effect.gen(function* () {
    const requests: Array<string> = []
    const counts = new Map<string, number>()
    const server = yield* Effect.acquireRelease(
      Effect.async<Server>((resume) => {
        const server = createServer((request, response) => {
          const method = request.method ?? ""
          const before = counts.get(method) ?? 0
          counts.set(method, before + 1)
          requests.push(`${method} ${request.url ?? ""}`)
          request.on("error", () => {})
          response.on("error", () => {})
          answer(method, before)(request, response)
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const address: AddressInfo | string | null = server.address()
    const port = address === null || typeof address === "string" ? 0 : address.port
    return {
      endpoint: `http://127.0.0.1:${port}`,
      requests,
      connections: Effect.async((resume) => {
        server.getConnections((_, count) => resume(Effect.succeed(count)))
      })
    }
  })

/** Takes the whole body, then answers. */
export const answering =
  (
    status: number,
    options: { readonly headers?: Record<string, string>; readonly body?: string } = {}
  ): Behaviour =>
  (request, response) => {
    request.resume().on("end", () => {
      response.writeHead(status, options.headers ?? {})
      response.end(request.method === "HEAD" ? undefined : options.body)
    })
  }

/** An error as S3 words it. */
export const refusing = (status: number, code: string): Behaviour =>
  answering(status, {
    headers: { "content-type": "application/xml" },
    body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`
  })

/** Takes the body and never answers. */
export const hanging: Behaviour = (request) => {
  request.resume()
}

/** Announces a body, sends some of it and then nothing. */
export const stalling: Behaviour = (request, response) => {
  request.resume()
  response.writeHead(200, { "content-length": "1000000" })
  response.write(Buffer.alloc(1000))
}

/** Ends the connection in the middle of the answer's body. */
export const resettingAnswer: Behaviour = (request, response) => {
  request.resume()
  response.writeHead(200, { "content-length": "1000000" })
  response.write(Buffer.alloc(1000), () => setTimeout(() => request.socket.resetAndDestroy(), 20))
}

/** Ends the connection in the middle of the request's body. */
export const resettingRequest: Behaviour = (request) => {
  request.once("data", () => request.socket.resetAndDestroy())
}
