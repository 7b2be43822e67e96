import { createServer, type Server } from "node:http"
import { Effect, type Scope } from "effect"
import { ResourceUnavailable } from "../../domain/StartupError.ts"

/** Checks that a server could listen there now. Another program may take the port before it does. */
export const checkAddress = (host: string, port: number): Effect.Effect<void, ResourceUnavailable> =>
  port === 0 ? Effect.void : Effect.scoped(Effect.asVoid(listen(createServer(), host, port)))

/** Listens until the scope closes, which ends all connections at once. Returns the port. */
export const listen = (
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
      return `HTTP_HOST=${host}: is not an address of this machine`
    default:
      return `HTTP_PORT=${port}: cannot listen on HTTP_HOST=${host}: ${error.message}`
  }
}
