import { Duration, Predicate } from "effect"
import { codeOf } from "../../domain/codeOf.ts"
import { reasonOf } from "../../domain/reasonOf.ts"
import type { ArchiveStoreError } from "../ArchiveStore.ts"

/**
 * What is known about a failed request. The SDK's own error is not kept: it carries the request, and with it a session token.
 * Decide by the status: errors of HEAD have no code, and some servers send no messages.
 */
export interface S3Failure {
  /** HTTP status; none if no answer came. */
  readonly status: number | undefined
  /** The server's error code, or the name of what went wrong on the way. */
  readonly code: string
  /** One line, including the server's own message. */
  readonly reason: string
  /** The region in which the server reports the bucket to be. */
  readonly region?: string
}

/** Converts what the SDK threw. */
export const toFailure = (cause: unknown): S3Failure => {
  const status = statusOf(cause)
  const code = codeOf(cause) ?? nameOf(cause)
  const message = oneLine(reasonOf(cause))
  if (status === undefined) return { status, code, reason: message === "" ? code : message }
  const answer = wordless.has(code) ? `HTTP ${status}` : `${code} (HTTP ${status})`
  const words = [
    ...(message === "" || message === code || wordless.has(message) ? [] : [message]),
    ...endpointOf(cause)
  ]
  const region = regionOf(cause)
  return {
    status,
    code,
    reason: [answer, ...words].join(": "),
    ...(region === undefined ? {} : { region })
  }
}

/** The SDK's names for an answer without a message, such as those to HEAD. */
const wordless = new Set(["Unknown", "UnknownError"])

const maxWords = 300

const oneLine = (text: string): string => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const line = text.replace(/[\s\u0000-\u001f\u007f]+/g, " ").trim()
  return line.length > maxWords ? `${line.slice(0, maxWords)}…` : line
}

/** The bucket's region, as named by an answer from another region. */
const regionOf = (cause: unknown): string | undefined => {
  if (Predicate.hasProperty(cause, "Region") && typeof cause.Region === "string") return cause.Region
  const header =
    Predicate.hasProperty(cause, "$response") &&
    Predicate.hasProperty(cause.$response, "headers") &&
    Predicate.hasProperty(cause.$response.headers, "x-amz-bucket-region")
      ? cause.$response.headers["x-amz-bucket-region"]
      : undefined
  return typeof header === "string" ? header : undefined
}

/** The server named by a redirect. */
const endpointOf = (cause: unknown): ReadonlyArray<string> =>
  Predicate.hasProperty(cause, "Endpoint") && typeof cause.Endpoint === "string"
    ? [`its endpoint is ${oneLine(cause.Endpoint)}`]
    : []

/** Whether a request may have been refused because the bucket is in another region than the one it was signed for. */
export const isOfRegion = ({ status }: S3Failure): boolean =>
  status === 301 || status === 307 || status === 400

/** The same failure, now that the region is known: the next attempt is signed for it. */
export const ofRegion = ({ reason, status }: S3Failure, region: string): S3Failure => ({
  status,
  code: otherRegion,
  reason: `the bucket is in the region ${region}: ${reason}`
})

/** Whether the next attempt may succeed: with the server's time, or in the bucket's region. */
export const isMended = (failure: S3Failure): boolean => isOfClock(failure) || failure.code === otherRegion

const otherRegion = "OtherRegion"

/**
 * Describes by how much this machine's clock differs from the server's. `offset` is the server's time minus ours, milliseconds.
 */
export const clockSkew = (offset: number): string => {
  const size = Duration.format(Duration.seconds(Math.round(Math.abs(offset) / 1000)))
  return `this machine's clock is ${size} ${offset > 0 ? "behind" : "ahead of"} the S3 server's`
}

/** The refusal of a request that was signed with another time than the server's. */
export const ofClock = ({ reason, status }: S3Failure, offset: number): S3Failure => ({
  status,
  code: "RequestTimeTooSkewed",
  reason: `${clockSkew(offset)}: ${reason}`
})

/** Whether a clock is at fault, here or there: it may be right next time. */
export const isOfClock = ({ code }: S3Failure): boolean => clockCodes.has(code)

/** Whether another attempt may help. Without an answer it may: the network failed, or a large body was refused early. */
export const kindOf = ({ code, status }: S3Failure): ArchiveStoreError["kind"] => {
  if (status === undefined || status >= 500 || passing.has(status) || passingCodes.has(code)) return "Failed"
  return clockCodes.has(code) ? "Failed" : "Refused"
}

/** Whether the credentials, or their rights, are at fault. */
export const isRefusal = ({ code, status }: S3Failure): boolean =>
  !clockCodes.has(code) && (status === 401 || status === 403 || refusals.has(code))

/** Whether the credentials are valid but do not allow this. */
export const isAccessDenied = ({ code, status }: S3Failure): boolean =>
  status === 403 && (code === "AccessDenied" || code === "AllAccessDisabled")

/** Names the right that a refused request lacked. */
export const lacking = (failure: S3Failure, operation: ArchiveStoreError["operation"]): string =>
  isAccessDenied(failure) ? `: the credentials may lack ${rights[operation]}` : ""

const rights = {
  put: "s3:PutObject",
  head: "s3:GetObject",
  get: "s3:GetObject",
  list: "s3:ListBucket"
}

/** Request timeout, conflict with a concurrent request, too many requests. */
const passing = new Set([408, 409, 429])
const passingCodes = new Set([
  "RequestTimeout",
  "IncompleteBody",
  "ExpiredToken",
  "SlowDown",
  "Throttling",
  "NoSuchBucket",
  otherRegion
])
/** The codes of S3 and other servers for a signature that is too old or too new. */
const clockCodes = new Set(["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"])
const refusals = new Set(["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "InvalidToken"])

const statusOf = (cause: unknown): number | undefined =>
  Predicate.hasProperty(cause, "$metadata") &&
  Predicate.hasProperty(cause.$metadata, "httpStatusCode") &&
  typeof cause.$metadata.httpStatusCode === "number" &&
  // an answer that the SDK cannot read (truncated) has the status of the answer, but is not a verdict
  !(cause.$metadata.httpStatusCode >= 200 && cause.$metadata.httpStatusCode < 300)
    ? cause.$metadata.httpStatusCode
    : undefined

const nameOf = (cause: unknown): string =>
  cause instanceof Error && cause.name !== "" ? cause.name : "Unknown"
