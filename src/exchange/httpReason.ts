import type { HttpClientError } from "@effect/platform"

/**
 * Describes in one line why a request failed: its URL, and what the system reports about the connection, such as ENOTFOUND or a
 * certificate error.
 */
export const httpReason = (error: HttpClientError.HttpClientError): string =>
  error.cause === undefined ? error.message : `${error.message}: ${textOf(error.cause)}`

/** The innermost cause is the most specific one: `fetch` wraps everything in "fetch failed". */
const textOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  if (cause instanceof AggregateError) return Array.from(new Set(cause.errors.map(textOf))).join(", ")
  if (cause.cause instanceof Error) return textOf(cause.cause)
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : ""
  return cause.message.includes(code) ? cause.message : `${cause.message} (${code})`
}
