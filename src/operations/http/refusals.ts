import type { IncomingMessage } from "node:http"
import { isIP } from "node:net"

/** Why a request is not answered. */
export interface Refusal {
  readonly status: number
  readonly reason: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Refuses what is no plain request to read something. With `onlyLocalNames` also what names this server by a host name
 * other than localhost: a page of somebody else whose name was pointed at this machine.
 */
export const refusalOf = (request: IncomingMessage, onlyLocalNames: boolean): Refusal | undefined => {
  const { headers, method, url = "" } = request
  if (method !== "GET" && method !== "HEAD") {
    return { status: 405, reason: "this server can only be read", headers: { allow: "GET, HEAD" } }
  }
  if (headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0") {
    return { status: 413, reason: "requests have no body here" }
  }
  if (!url.startsWith("/") || url.length > maxUrl) return { status: 400, reason: "not a path of this server" }
  if (onlyLocalNames && !isLocalName(headers.host ?? "")) {
    return { status: 421, reason: "ask for localhost or an IP address" }
  }
  return undefined
}

/** Whether only programs of this machine reach a host. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host)

const maxUrl = 2048

const isLocalName = (authority: string): boolean => {
  const name = authority.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1")
  return name === "" || name.toLowerCase() === "localhost" || isIP(name) !== 0
}
