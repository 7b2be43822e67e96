import { createServer } from "node:http"
import type { Socket } from "node:net"
import { Effect } from "effect"
import { type WebSocket, WebSocketServer } from "ws"

/** A connection of a scripted exchange. */
export interface Peer {
  /** Counts from 1. */
  readonly id: number
  /** A text or bytes as they are, all else as JSON. */
  readonly send: (frame: unknown) => void
  /** Calls it every so many milliseconds, while the connection is open. */
  readonly every: (milliseconds: number, act: () => void) => void
  /** Bytes that are no frame, or one of a kind that is not allowed. */
  readonly sendRaw: (bytes: Buffer) => void
  /** Cuts the TCP connection with a reset. */
  readonly reset: () => void
}

/** An exchange that says exactly what a test makes it say. */
export interface Script {
  readonly onOpen?: (peer: Peer) => void
  /** A text message of the client. */
  readonly onMessage?: (peer: Peer, text: string) => void
  /** Milliseconds that a handshake takes. */
  readonly handshake?: number
}

/** Listens on loopback while the scope is open. */
export const scripted = ({ handshake = 0, onMessage, onOpen }: Script) =>
  Effect.acquireRelease(
    Effect.async<{ readonly url: URL; readonly close: () => void }>((resume) => {
      const server = createServer()
      const upgrader = new WebSocketServer({ noServer: true })
      const timers = new Set<NodeJS.Timeout>()
      let accepted = 0
      const greet = (socket: WebSocket, transport: Socket): void => {
        const peer: Peer = {
          id: ++accepted,
          send: (frame) =>
            socket.send(typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame)),
          every: (milliseconds, act) => {
            const timer = setInterval(act, milliseconds)
            timers.add(timer)
            socket.on("close", () => clearInterval(timer))
          },
          sendRaw: (bytes) => void transport.write(bytes),
          reset: () => void transport.resetAndDestroy()
        }
        socket.on("error", () => {})
        socket.on("message", (data) => onMessage?.(peer, String(data)))
        onOpen?.(peer)
      }
      server.on("upgrade", (request, transport, head) => {
        setTimeout(() => {
          upgrader.handleUpgrade(request, transport, head, (socket) => greet(socket, request.socket))
        }, handshake)
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(
          Effect.succeed({
            url: new URL(`ws://127.0.0.1:${port}/stream`),
            close: () => {
              for (const timer of timers) clearInterval(timer)
              for (const client of upgrader.clients) client.terminate()
              server.close()
            }
          })
        )
      })
    }),
    ({ close }) => Effect.sync(close)
  )
