import type { HttpClientError } from "@effect/platform"

/** Why a request failed, in one line: its URL, and what the system says of the connection, as ENOTFOUND or a certificate. */
export const httpReason = (error: HttpClientError.HttpClientError): string =>
  error.cause === undefined ? error.message : `${error.message}: ${textOf(error.cause)}`

/** What lies deepest says most: `fetch` wraps all in "fetch failed". */
const textOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  if (cause instanceof AggregateError) return Array.from(new Set(cause.errors.map(textOf))).join(", ")
  if (cause.cause instanceof Error) return textOf(cause.cause)
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : ""
  return cause.message.includes(code) ? cause.message : `${cause.message} (${code})`
}
