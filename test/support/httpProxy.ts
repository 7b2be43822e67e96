import { createServer, type IncomingMessage, request as requestTo } from "node:http"
import { connect } from "node:net"
import { Effect, type Scope } from "effect"
import { listening } from "./tls.ts"

/** An HTTP proxy on loopback that wants a name and a password. */
export interface HttpProxy {
  readonly port: number
  /** What it was asked for, as `CONNECT host:port` or `GET http://…`. */
  readonly requests: () => ReadonlyArray<string>
}

export const httpProxy = (credentials: string): Effect.Effect<HttpProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const requests: Array<string> = []
    const expected = `Basic ${Buffer.from(credentials).toString("base64")}`
    const isAllowed = ({ headers, method, url }: IncomingMessage) => {
      const allowed = headers["proxy-authorization"] === expected
      requests.push(`${allowed ? "" : "407 "}${method} ${url}`)
      return allowed
    }
    const server = createServer((request, response) => {
      request.on("error", () => {})
      if (!isAllowed(request)) return response.writeHead(407).end()
      const { "proxy-authorization": _, ...headers } = request.headers
      const passedOn = requestTo(request.url ?? "", { method: request.method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      })
      passedOn.on("error", () => response.destroy())
      return request.pipe(passedOn)
    })
    server.on("connect", (request, socket) => {
      if (!isAllowed(request)) return socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
      const [host = "", port = ""] = (request.url ?? "").split(":")
      const other = connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n")
        socket.pipe(other).pipe(socket)
      })
      const end = () => {
        socket.destroy()
        other.destroy()
      }
      for (const one of [socket, other]) one.on("error", end).on("close", end)
      return undefined
    })
    return { port: yield* listening(server), requests: () => requests }
  })
