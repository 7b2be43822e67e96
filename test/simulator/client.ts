import { Data, Effect, Schedule, Schema, type Scope } from "effect"
import { WebSocket } from "ws"
import { patience } from "../support/pace.ts"

/** A WebSocket client that keeps what it gets. */
export interface Client {
  /** All that came, in order: text frames, and binary ones as `<binary>`. */
  readonly frames: Array<string>
  /** Payloads of the server's protocol pings. */
  readonly pings: Array<string>
  readonly pongs: Array<string>
  /** How the connection ended, once it did. */
  readonly closed: () => { readonly code: number; readonly reason: string } | undefined
  readonly send: (message: unknown) => Effect.Effect<void>
  readonly ping: Effect.Effect<void>
  readonly close: Effect.Effect<void>
  /** Stops and goes on reading from the network. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Waits until so many frames that fit are there, and returns them. */
  readonly receive: (count: number, fits?: (frame: string) => boolean) => Effect.Effect<ReadonlyArray<string>>
  readonly awaitClose: Effect.Effect<{ readonly code: number; readonly reason: string }>
}

export class ConnectFailed extends Data.TaggedError("ConnectFailed")<{ readonly reason: string }> {}

export const connect = (
  url: string,
  options: { readonly autoPong?: boolean } = {}
): Effect.Effect<Client, ConnectFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly socket: WebSocket; readonly client: Client }, ConnectFailed>((resume) => {
      const socket = new WebSocket(url, { perMessageDeflate: false, autoPong: options.autoPong ?? true })
      const client = clientOf(socket)
      socket.once("open", () => resume(Effect.succeed({ socket, client })))
      socket.on("error", (error) => resume(new ConnectFailed({ reason: error.message })))
    }),
    ({ socket }) => Effect.sync(() => socket.terminate())
  ).pipe(Effect.map(({ client }) => client))

/** Asks again and again until it holds; dies after `patience`. */
export const until = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry({ schedule: everyFewMillis }),
    Effect.timeoutFail({ duration: patience, onTimeout: () => new Error(`waited in vain: ${what}`) }),
    Effect.orDie
  )

export const isData = (frame: string): boolean => /"(stream|lastUpdateId|e)":/.test(frame)

/** The members of a JSON object. */
export const members = Schema.decodeUnknownSync(
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
)

export const numberIn = (frame: string, member: string): number =>
  Number(new RegExp(`"${member}":(\\d+)`).exec(frame)?.[1])

/** Payloads as they would be at another time. */
export const withoutTimes = (frame: string): string => frame.replace(/"([ET])":\d+/g, '"$1":0')

const everyFewMillis = Schedule.spaced("5 millis")

const clientOf = (socket: WebSocket): Client => {
  const frames: Array<string> = []
  const pings: Array<string> = []
  const pongs: Array<string> = []
  let closed: { readonly code: number; readonly reason: string } | undefined
  socket.on("message", (data, isBinary) => frames.push(isBinary ? "<binary>" : String(data)))
  socket.on("ping", (payload) => pings.push(payload.toString()))
  socket.on("pong", (payload) => pongs.push(payload.toString()))
  socket.on("close", (code, reason) => {
    closed = { code, reason: reason.toString() }
  })
  return {
    frames,
    pings,
    pongs,
    closed: () => closed,
    send: (message) =>
      Effect.sync(() =>
        socket.send(typeof message === "string" ? message : JSON.stringify(message), () => {})
      ),
    ping: Effect.sync(() => socket.ping("hello", undefined, () => {})),
    close: Effect.sync(() => socket.close(1000)),
    pause: Effect.sync(() => socket.pause()),
    resume: Effect.sync(() => socket.resume()),
    receive: (count, fits = () => true) =>
      until(`${count} frames, got ${frames.length}`, () => frames.filter(fits).length >= count).pipe(
        Effect.map(() => frames.filter(fits).slice(0, count))
      ),
    awaitClose: until("the end of the connection", () => closed !== undefined).pipe(
      Effect.map(() => closed ?? { code: 0, reason: "" })
    )
  }
}
