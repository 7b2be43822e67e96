import type { IncomingMessage } from "node:http"
import { isIP } from "node:net"
import { hostname } from "node:os"

/** Why a request is refused. */
export interface Refusal {
  readonly status: number
  readonly reason: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Refuses anything but a plain read request, and requests for another host. */
export const refusalOf = (
  request: IncomingMessage,
  isAllowed: (host: string) => boolean
): Refusal | undefined => {
  const { headers, method, url = "" } = request
  if (method !== "GET" && method !== "HEAD") {
    return { status: 405, reason: "this server can only be read", headers: { allow: "GET, HEAD" } }
  }
  if (headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0") {
    return { status: 413, reason: "requests have no body here" }
  }
  if (!url.startsWith("/") || url.length > maxUrl) return { status: 400, reason: "not a path of this server" }
  if (!isAllowed(headers.host ?? "")) {
    return {
      status: 421,
      reason: "ask for localhost or an IP address, or name this host in HTTP_ALLOWED_HOSTS"
    }
  }
  return undefined
}

/**
 * Whether a request's Host header names this server: an address, localhost, the machine's name, HTTP_HOST or one of
 * HTTP_ALLOWED_HOSTS. Other names belong to someone else's pages that were pointed at this machine (DNS rebinding), whose
 * scripts would read what is served here.
 */
export const hostCheck = (settings: {
  readonly httpHost: string
  readonly httpAllowedHosts: ReadonlyArray<string>
}): ((authority: string) => boolean) => {
  const own = [hostname(), settings.httpHost].map((name) => name.toLowerCase())
  const names = new Set(["", "localhost", ...own, ...settings.httpAllowedHosts])
  return (authority) => {
    const name = authority.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1")
    return names.has("*") || isIP(name) !== 0 || names.has(name.toLowerCase())
  }
}

const maxUrl = 2048
