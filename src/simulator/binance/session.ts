import { Either } from "effect"
import {
  type ClientSession,
  type Envelope,
  type GarbageKind,
  noEnvelope,
  type Peer,
  type UpgradeRefused
} from "../Protocol.ts"
import * as Requests from "./requests.ts"

const streamsPerConnection = 1024

/** What the URL of a connection asks for. */
export interface Target {
  readonly combined: boolean
  readonly streams: ReadonlyArray<string>
}

/** Reads the URL of a connection, without what precedes `/ws` or `/stream`. */
export const readTarget = (url: URL): Either.Either<Target, UpgradeRefused> => {
  const path = url.pathname.replace(/\/+$/, "")
  const names = (text: string) => text.split("/").filter((name) => name !== "")
  const target: Target | undefined =
    path === "/stream"
      ? { combined: true, streams: names(url.searchParams.get("streams") ?? "") }
      : path === "/ws" || path.startsWith("/ws/")
        ? { combined: false, streams: names(decodePath(path.slice("/ws".length))) }
        : undefined
  if (target === undefined) return Either.left({ status: 404, reason: "no such path" })
  return target.streams.length > streamsPerConnection
    ? Either.left({ status: 400, reason: "too many streams" })
    : Either.right(target)
}

/** Decodes a path; if its percent-encoding is broken, it is kept as the client wrote it. */
const decodePath = (path: string): string =>
  Either.getOrElse(
    Either.try(() => decodeURIComponent(path)),
    () => path
  )

/** `serves`: which streams are served at the URL of the connection; others are acknowledged and silent. */
export const makeClientSession = (
  target: Target,
  shape: Requests.ErrorShape,
  serves: (stream: string) => boolean = () => true
): ClientSession => {
  const envelopes = new Map<string, Envelope>()
  let combined = target.combined

  const envelope = (stream: string): Envelope => {
    if (!combined) return noEnvelope
    const known = envelopes.get(stream)
    if (known !== undefined) return known
    const made = {
      before: Buffer.from(`{"stream":${JSON.stringify(stream)},"data":`),
      after: Buffer.from("}")
    }
    envelopes.set(stream, made)
    return made
  }
  const wrapped = (stream: string, payload: string): string =>
    combined ? `{"stream":${JSON.stringify(stream)},"data":${payload}}` : payload

  const act = (request: Requests.Request, peer: Peer): string => {
    switch (request.method) {
      case "SUBSCRIBE": {
        const wanted = new Set([...peer.subscriptions(), ...request.streams])
        if (wanted.size > streamsPerConnection) {
          return Requests.error(shape, 2, "Invalid request: too many streams", request.id)
        }
        for (const stream of request.streams) if (serves(stream)) peer.subscribe(stream)
        return Requests.result(request.id, null)
      }
      case "UNSUBSCRIBE":
        for (const stream of request.streams) {
          peer.unsubscribe(stream)
          envelopes.delete(stream)
        }
        return Requests.result(request.id, null)
      case "LIST_SUBSCRIPTIONS":
        return Requests.result(request.id, peer.subscriptions())
      case "SET_PROPERTY":
        combined = request.combined
        return Requests.result(request.id, null)
      case "GET_PROPERTY":
        return Requests.result(request.id, combined)
    }
  }

  return {
    streams: target.streams.filter(serves),
    receive: (text, peer) => [
      Either.match(Requests.parse(text, shape), {
        onLeft: (refusal) => refusal,
        onRight: (request) => act(request, peer)
      })
    ],
    envelope,
    garbage: (kind, stream) => garbageOf(kind, (payload) => wrapped(stream, payload)),
    closingNotice: (now) => wrapped("!serverShutdown", `{"e":"serverShutdown","E":${now}}`)
  }
}

const garbageOf = (kind: GarbageKind, wrap: (payload: string) => string): string | Uint8Array => {
  switch (kind) {
    case "text":
      return "<html><body>502 Bad Gateway</body></html>"
    case "truncated":
      return wrap('{"lastUpdateId":160,"bids":[["0.00240000","10.00000000"],["0.0026').slice(0, -1)
    case "shape":
      return wrap('{"kind":"unheard of","values":[1,2,3]}')
    case "binary":
      return Uint8Array.of(0, 255, 1, 254, 2, 253)
    case "noid":
      return wrap('{"bids":[["0.00240000","10.00000000"]],"asks":[["0.00260000","100.00000000"]]}')
  }
}
