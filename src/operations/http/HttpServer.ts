import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { HttpApiBuilder } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer, type Scope } from "effect"
import { ResourceUnavailable } from "../../domain/StartupError.ts"
import { Api } from "./Api.ts"
import * as assets from "./assets.ts"
import type { Board } from "./Board.ts"
import type { Holes } from "./Holes.ts"
import type { HttpSettings } from "./HttpSettings.ts"
import * as handlers from "./handlers.ts"
import { isLoopback, refusalOf } from "./refusals.ts"
import { securityHeaders } from "./securityHeaders.ts"

/** Where the status page is, as `http://127.0.0.1:9090`. */
export class HttpAddress extends Context.Tag("collector/HttpAddress")<
  HttpAddress,
  { readonly url: string }
>() {}

/**
 * Serves the board until the scope closes, which ends all connections at once. Whatever clients do costs bounded memory:
 * requests are small, answers are shared, and who is too slow is cut off.
 */
export const layer = (settings: HttpSettings): Layer.Layer<HttpAddress, ResourceUnavailable, Board | Holes> =>
  Layer.scoped(HttpAddress, serve(settings)).pipe(
    Layer.provide(HttpApiBuilder.middlewareOpenApi({ path: "/api/openapi.json" })),
    Layer.provide(assets.layer),
    Layer.provideMerge(HttpApiBuilder.api(Api).pipe(Layer.provide(handlers.layer))),
    Layer.provide([HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer]),
    Layer.provide(NodeHttpServer.layerContext)
  )

/** Milliseconds. */
const answerWithin = 30_000

const serve = ({ httpHost, httpPort }: HttpSettings) =>
  Effect.gen(function* () {
    const handle = yield* NodeHttpServer.makeHandler(yield* HttpApiBuilder.httpApp)
    const onlyLocalNames = isLoopback(httpHost)
    const server = createServer(limits, (request, response) => {
      for (const [name, value] of securityHeaders) response.setHeader(name, value)
      const refusal = refusalOf(request, onlyLocalNames)
      if (refusal === undefined) {
        limitTime(request, response)
        return handle(request, response)
      }
      // A request that is refused may have a body without end.
      response.writeHead(refusal.status, {
        connection: "close",
        "content-type": "text/plain",
        ...refusal.headers
      })
      response.end(`${refusal.reason}\n`)
    })
    server.maxConnections = 512
    server.maxRequestsPerSocket = 1000
    server.timeout = 10_000
    const port = yield* listen(server, httpHost, httpPort)
    return { url: `http://${httpHost.includes(":") ? `[${httpHost}]` : httpHost}:${port}` }
  })

/** Milliseconds, bytes. */
const limits = {
  maxHeaderSize: 8192,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000
}

/** Server-sent events go on; all else has to be read within a time, however busily a client reads a byte now and then. */
const limitTime = (request: IncomingMessage, response: ServerResponse): void => {
  if (request.url?.startsWith("/api/live")) return
  const timer = setTimeout(() => request.socket.destroy(), answerWithin)
  response.once("close", () => clearTimeout(timer))
}

const listen = (
  server: Server,
  host: string,
  port: number
): Effect.Effect<number, ResourceUnavailable, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<number, ResourceUnavailable>((resume) => {
      server.once("error", (error) =>
        resume(new ResourceUnavailable({ reason: cannotListen(host, port, error) }))
      )
      server.listen(port, host, () => {
        server.removeAllListeners("error")
        const address = server.address()
        resume(Effect.succeed(address === null || typeof address === "string" ? port : address.port))
      })
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

const cannotListen = (host: string, port: number, error: NodeJS.ErrnoException): string => {
  switch (error.code) {
    case "EADDRINUSE":
      return `HTTP_PORT=${port}: is taken on HTTP_HOST=${host} by another program: choose another port, or 0 for any that is free`
    case "EACCES":
      return `HTTP_PORT=${port}: only root may listen there: choose a port above 1023`
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `HTTP_HOST=${host}: is no address of this machine`
    default:
      return `HTTP_PORT=${port}: cannot listen on HTTP_HOST=${host}: ${error.message}`
  }
}
