import { Duration, Predicate } from "effect"
import type { ArchiveStoreError } from "../ArchiveStore.ts"

/**
 * What is known of a failed request. The SDK's own error is not kept: it carries the request, and with it a session
 * token. Decide on the status: errors of HEAD have no code, and some servers send no messages.
 */
export interface S3Failure {
  /** HTTP status; none where no answer came. */
  readonly status: number | undefined
  /** The server's error code, or the name of what went wrong on the way. */
  readonly code: string
  /** One line. */
  readonly reason: string
}

/** Reads what the SDK threw. */
export const toFailure = (cause: unknown): S3Failure => {
  const status = statusOf(cause)
  const code = codeOf(cause)
  if (status !== undefined) {
    return { status, code, reason: code === "Unknown" ? `HTTP ${status}` : `${code} (HTTP ${status})` }
  }
  const message = cause instanceof Error ? cause.message : String(cause)
  return { status, code, reason: message === "" ? code : message.replace(/\s+/g, " ") }
}

/** By how much this machine's clock differs from the server's, whose time less ours is `offset`, milliseconds. */
export const clockSkew = (offset: number): string => {
  const size = Duration.format(Duration.seconds(Math.round(Math.abs(offset) / 1000)))
  return `this machine's clock is ${size} ${offset > 0 ? "behind" : "ahead of"} the S3 server's`
}

/** A refusal of a request that was signed with another time than the server's. */
export const ofClock = ({ reason, status }: S3Failure, offset: number): S3Failure => ({
  status,
  code: "RequestTimeTooSkewed",
  reason: `${clockSkew(offset)}: ${reason}`
})

/** The clock is at fault, here or there: it may be right the next time. */
export const isOfClock = ({ code }: S3Failure): boolean => clockCodes.has(code)

/** Whether another attempt may help. Without an answer it may: the network, or a large body refused early. */
export const kindOf = ({ code, status }: S3Failure): ArchiveStoreError["kind"] => {
  if (status === undefined || status >= 500 || passing.has(status) || passingCodes.has(code)) return "Failed"
  return clockCodes.has(code) ? "Failed" : "Refused"
}

/** The credentials, or what they may do, are at fault. */
export const isRefusal = ({ code, status }: S3Failure): boolean =>
  !clockCodes.has(code) && (status === 401 || status === 403 || refusals.has(code))

/** Request timeout, conflict with a request that goes on at the same time, too many requests. */
const passing = new Set([408, 409, 429])
const passingCodes = new Set([
  "RequestTimeout",
  "IncompleteBody",
  "ExpiredToken",
  "SlowDown",
  "Throttling",
  "NoSuchBucket"
])
/** What S3 and other servers say of a signature that is too old or too new. */
const clockCodes = new Set(["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"])
const refusals = new Set(["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "InvalidToken"])

const statusOf = (cause: unknown): number | undefined =>
  Predicate.hasProperty(cause, "$metadata") &&
  Predicate.hasProperty(cause.$metadata, "httpStatusCode") &&
  typeof cause.$metadata.httpStatusCode === "number" &&
  // what the SDK cannot read (an answer cut off) has the status of the answer, but is no verdict
  !(cause.$metadata.httpStatusCode >= 200 && cause.$metadata.httpStatusCode < 300)
    ? cause.$metadata.httpStatusCode
    : undefined

const codeOf = (cause: unknown): string => {
  if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") return cause.code
  return cause instanceof Error && cause.name !== "" ? cause.name : "Unknown"
}
