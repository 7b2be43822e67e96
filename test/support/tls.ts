import { execFileSync } from "node:child_process"
import * as NodeFs from "node:fs"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import * as NodeTls from "node:tls"
import { Effect, type Scope } from "effect"

/** Why no certificates can be made here; undefined where they can be. */
export const opensslMissing: string | undefined = (() => {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" })
    return undefined
  } catch {
    return "needs openssl"
  }
})()

/** A certificate of an authority that nobody knows, for `localhost`, with the authority's own in a file. */
export interface Certificate {
  readonly authority: string
  readonly cert: Buffer
  readonly key: Buffer
}

export const makeCertificate = (folder: string): Certificate => {
  const openssl = (...args: ReadonlyArray<string>) =>
    execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] })
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
  const fileArguments = (name: string) => ["-subj", `/CN=${name}`, "-keyout", `${name}.key`]
  openssl("req", "-x509", ...key, ...fileArguments("authority"), "-out", "authority.pem", "-days", "2")
  openssl("req", ...key, ...fileArguments("localhost"), "-out", "localhost.csr")
  NodeFs.writeFileSync(`${folder}/names`, "subjectAltName=DNS:localhost,IP:127.0.0.1")
  const signed = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "names"]
  openssl("x509", "-req", "-in", "localhost.csr", ...signed, "-days", "2", "-out", "localhost.pem")
  return {
    authority: `${folder}/authority.pem`,
    cert: NodeFs.readFileSync(`${folder}/localhost.pem`),
    key: NodeFs.readFileSync(`${folder}/localhost.key`)
  }
}

/** A port of 127.0.0.1 that speaks TLS and passes what it hears on to another one. */
export const tlsBefore = (
  port: number,
  { cert, key }: Certificate
): Effect.Effect<number, never, Scope.Scope> =>
  listening(NodeTls.createServer({ cert, key }, (socket) => join(socket, connect(port, "127.0.0.1"))))

/** The port of a server, which is closed with the scope. */
export const listening = (server: Server): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address: AddressInfo | string | null = server.address()
        resume(Effect.succeed(address === null || typeof address === "string" ? 0 : address.port))
      })
    }),
    () => Effect.sync(() => void server.close())
  )

/** Passes on what either says until one ends. */
export const join = (one: Socket, other: Socket): void => {
  const end = () => {
    one.destroy()
    other.destroy()
  }
  for (const socket of [one, other]) socket.on("error", end).on("close", end)
  one.pipe(other).pipe(one)
}

/** A SOCKS5 proxy without a password: it knows names and addresses of version 4. */
export const socksProxy: Effect.Effect<
  { readonly port: number; readonly connections: () => ReadonlyArray<string> },
  never,
  Scope.Scope
> = Effect.gen(function* () {
  const connections: Array<string> = []
  const port = yield* listening(
    createServer((socket) => {
      socket.on("error", () => {})
      socket.once("data", () => {
        socket.write(Buffer.from([5, 0]))
        socket.once("data", (request: Buffer) => {
          const isName = request[3] === 3
          const length = isName ? (request[4] ?? 0) : 4
          const at = isName ? 5 : 4
          const host = isName
            ? request.toString("utf8", at, at + length)
            : request.subarray(at, at + length).join(".")
          const to = request.readUInt16BE(at + length)
          connections.push(`${host}:${to}`)
          const other = connect(to, host, () => {
            socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
            join(socket, other)
          })
          other.on("error", () => socket.destroy())
        })
      })
    })
  )
  return { port, connections: () => connections }
})
