import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { HttpApiBuilder } from "@effect/platform"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer } from "effect"
import type { ResourceUnavailable } from "../../domain/StartupError.ts"
import { Api } from "./Api.ts"
import * as assets from "./assets.ts"
import type { HttpSettings } from "./HttpSettings.ts"
import * as handlers from "./handlers.ts"
import { listen } from "./listen.ts"
import type { RecentCoverage } from "./RecentCoverage.ts"
import { hostCheck, refusalOf } from "./refusals.ts"
import type { StatusBoard } from "./StatusBoard.ts"
import { securityHeaders } from "./securityHeaders.ts"

/** The address of the status page, such as `http://127.0.0.1:9090`. */
export class HttpAddress extends Context.Tag("collector/HttpAddress")<
  HttpAddress,
  { readonly url: string }
>() {}

/**
 * Serves the board until the scope closes, which ends all connections at once. Whatever clients do costs bounded memory:
 * requests are small, answers are shared, and a client that is too slow is disconnected.
 */
export const layer = (
  settings: HttpSettings
): Layer.Layer<HttpAddress, ResourceUnavailable, StatusBoard | RecentCoverage> =>
  Layer.scoped(HttpAddress, serve(settings)).pipe(
    Layer.provide(HttpApiBuilder.middlewareOpenApi({ path: "/api/openapi.json" })),
    Layer.provide(assets.layer),
    Layer.provideMerge(HttpApiBuilder.api(Api).pipe(Layer.provide(handlers.layer))),
    Layer.provide([HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer]),
    Layer.provide(NodeHttpServer.layerContext)
  )

/** Milliseconds. An answer that is made while it is sent waits for a processor, too. */
const answerWithin = { coverage: 120_000, other: 30_000 }

const serve = (settings: HttpSettings) =>
  Effect.gen(function* () {
    const handle = yield* NodeHttpServer.makeHandler(yield* HttpApiBuilder.httpApp)
    const { httpHost, httpPort } = settings
    const isAllowed = hostCheck(settings)
    const server = createServer(limits, (request, response) => {
      for (const [name, value] of securityHeaders) response.setHeader(name, value)
      const refusal = refusalOf(request, isAllowed)
      if (refusal === undefined) {
        limitTime(request, response)
        return handle(request, response)
      }
      // The body of a refused request can be endless.
      response.writeHead(refusal.status, {
        connection: "close",
        "content-type": "text/plain",
        ...refusal.headers
      })
      response.end(`${refusal.reason}\n`)
    })
    server.maxConnections = 512
    server.maxRequestsPerSocket = 1000
    server.timeout = 30_000
    const port = yield* listen(server, httpHost, httpPort)
    return { url: `http://${httpHost.includes(":") ? `[${httpHost}]` : httpHost}:${port}` }
  })

/** Milliseconds, bytes. On busy processors the thread may only get to read after seconds. */
const limits = {
  maxHeaderSize: 8192,
  headersTimeout: 20_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 20_000,
  connectionsCheckingInterval: 1_000
}

/**
 * Server-sent events have no time limit; everything else must be read within one, however steadily a client reads single bytes.
 */
const limitTime = (request: IncomingMessage, response: ServerResponse): void => {
  if (request.url?.startsWith("/api/live")) return
  const within = request.url?.startsWith("/api/coverage") ? answerWithin.coverage : answerWithin.other
  const timer = setTimeout(() => request.socket.destroy(), within)
  response.once("close", () => clearTimeout(timer))
}
