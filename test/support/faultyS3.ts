import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, type Scope } from "effect"
import { probeKey } from "../../src/domain/Archive.ts"

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

/**
 * Starts one for the scope. `answer` decides by method and by how many requests of that method came before. Whether it
 * checks contents is not for `answer` to say: `probed` is what it answers to who wants to know.
 */
export const faultyS3 = (
  answer: (method: string, before: number) => Behaviour,
  probed: Behaviour = refusing(400, "XAmzContentSHA256Mismatch")
): Effect.Effect<FaultyS3, never, Scope.Scope> =>
  Effect.gen(function* () {
    const requests: Array<string> = []
    const counts = new Map<string, number>()
    const server = yield* Effect.acquireRelease(
      Effect.async<Server>((resume) => {
        const server = createServer((request, response) => {
          const method = request.method ?? ""
          request.on("error", () => {})
          response.on("error", () => {})
          if (request.url?.includes(`/${probeKey}`) === true) return probed(request, response)
          const before = counts.get(method) ?? 0
          counts.set(method, before + 1)
          requests.push(`${method} ${request.url ?? ""}`)
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

/** Keeps what is put, as a store does that checks nothing: `damage` is what becomes of a body, `absent` what is not there. */
export const keeping = (damage: (body: Buffer) => Buffer = (body) => body, absent = 404): Behaviour => {
  const objects = new Map<string, { readonly body: Buffer; readonly sha256: string }>()
  return (request, response) => {
    const path = String(request.url).replace(/\?.*/, "")
    const body: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => body.push(chunk))
    request.on("end", () => {
      if (request.method === "PUT") {
        const sha256 = String(request.headers["x-amz-meta-sha256"])
        objects.set(path, { body: damage(Buffer.concat(body)), sha256 })
        return response.writeHead(200).end()
      }
      if (request.method === "DELETE") {
        objects.delete(path)
        return response.writeHead(204).end()
      }
      const object = objects.get(path)
      if (object === undefined) return response.writeHead(absent).end()
      const from = Number(/^bytes=(\d+)-$/.exec(String(request.headers.range))?.[1] ?? 0)
      const bytes = object.body.subarray(from)
      response.writeHead(from > 0 ? 206 : 200, {
        "content-length": bytes.length,
        "x-amz-meta-sha256": object.sha256
      })
      return response.end(request.method === "HEAD" ? undefined : bytes)
    })
  }
}

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
