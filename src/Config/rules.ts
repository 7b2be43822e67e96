import { isIP } from "node:net"
import { Url } from "@effect/platform"
import { Duration, Either, Option } from "effect"
import type { Rule } from "./Rule.ts"

/** A text accepted by the predicate. */
export const text = (allowed: string, isAllowed: (text: string) => boolean): Rule<string> => ({
  type: "text",
  show: "value",
  parse: (text) => (isAllowed(text) ? Either.right(text) : Either.left(allowed))
})

/** A text that is never shown. */
export const secret: Rule<string> = {
  ...text("must not contain white space or control characters", (text) => /^[^\s\p{C}]+$/u.test(text)),
  show: "nothing"
}

/** A number with a unit, above 0 and at most `max`; fractions are allowed. */
const positive = (unit: string, max: number): Rule<number> => ({
  type: "number",
  show: "value",
  parse: (text) => {
    const value = decimal(text)
    return value > 0 && value <= max
      ? Either.right(value)
      : Either.left(`must be a number of ${unit} greater than 0, at most ${max}`)
  }
})

/** A time in seconds. Timers have a resolution of one millisecond: shorter times are raised to that. */
export const seconds = (max: number): Rule<Duration.Duration> =>
  map(positive("seconds", max), (value) => Duration.millis(Math.max(1, value * 1000)))

/** A time in days. */
export const days = (max: number): Rule<Duration.Duration> => map(positive("days", max), Duration.days)

/** A whole number within bounds. */
export const integer = (min: number, max: number): Rule<number> => ({
  type: "number",
  show: "value",
  parse: (text) => {
    const value = decimal(text)
    return Number.isInteger(value) && value >= min && value <= max
      ? Either.right(value)
      : Either.left(`must be a whole number from ${min} to ${max}`)
  }
})

/** A port to listen on. */
export const port: Rule<number> = {
  type: "number",
  show: "value",
  parse: (text) =>
    Either.mapLeft(
      integer(0, 65_535).parse(text),
      () => "must be a whole number from 1 to 65535, or 0 for any that is free"
    )
}

/** A path of a file or folder. */
export const path = text(
  "must be a path without control characters, and without ~, which only a shell knows",
  (text) => !/\p{Cc}/u.test(text) && !isOfHome(text)
)

/** The path of the database file. SQLite takes ":memory:" for a database that disappears with the process. */
export const databasePath = text(
  "must be the path of a file, without ~, which only a shell knows",
  (text) => !/\p{Cc}/u.test(text) && !isOfHome(text) && text !== ":memory:" && !/[/\\]$/.test(text)
)

/** The name of the collector in object keys and file names; it must stay short even when percent-encoded. */
export const serverName = text(
  "must be 1 to 64 printable characters, at most 150 once percent-encoded",
  (text) => text.length <= 64 && /^\P{C}+$/u.test(text) && encodeURIComponent(text).length <= 150
)

/** An address or a host name to listen on. */
export const host = text(
  "must be an IP address or a host name",
  (text) => isIP(text) !== 0 || (text.length <= 253 && hostName.test(text) && !/^[\d.]+$/.test(text))
)

/** Host names, separated by commas, or `*` for any. */
export const hostNames: Rule<ReadonlyArray<string>> = {
  type: "text",
  show: "value",
  parse: (text) => {
    const names = text.split(",").map((name) => name.trim().toLowerCase())
    return names.every((name) => name === "*" || (name.length <= 253 && hostName.test(name)))
      ? Either.right(names)
      : Either.left("must be host names without ports, separated by commas, or * for any")
  }
}

/** A URL of an exchange's WebSocket endpoint. */
export const webSocketUrl = url("must be a ws:// or wss:// URL without a fragment", (url) =>
  /^wss?:$/.test(url.protocol)
)

/** A URL of a service, such as an object store. */
export const httpUrl = url(
  "must be an http:// or https:// URL without user, query and fragment",
  (url) => /^https?:$/.test(url.protocol) && url.username === "" && url.password === "" && url.search === ""
)

/** S3's rules for bucket names. */
export const bucketName = text(
  "must be a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit",
  (text) =>
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(text) &&
    !text.includes("..") &&
    isIP(text) === 0 &&
    !reservedPrefixes.some((prefix) => text.startsWith(prefix)) &&
    !reservedSuffixes.some((suffix) => text.endsWith(suffix))
)

/** An AWS region, such as us-west-2. */
export const awsRegion = text("must be a region of AWS, as us-west-2", (text) =>
  /^[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}$/.test(text)
)

/** A region of another S3-compatible server, which has names of its own. */
export const anyRegion = text("must be a region: up to 63 lower-case letters, digits and hyphens", (text) =>
  /^[a-z0-9][a-z0-9-]{0,62}$/.test(text)
)

export const archiveStoreKind: Rule<"s3" | "file"> = {
  type: "text",
  show: "value",
  parse: (text) => {
    const name = text.toLowerCase()
    return name === "s3" || name === "file" ? Either.right(name) : Either.left("must be s3 or file")
  }
}

const map = <A, B>(rule: Rule<A>, f: (value: A) => B): Rule<B> => ({
  ...rule,
  parse: (text) => Either.map(rule.parse(text), f)
})

function url(allowed: string, isAllowed: (url: URL) => boolean): Rule<URL> {
  return {
    type: "text",
    show: "url",
    parse: (text) =>
      Url.fromString(text).pipe(
        Either.getRight,
        Option.filter((url) => url.hostname !== "" && url.hash === "" && !/\s/.test(text) && isAllowed(url)),
        Either.fromOption(() => allowed)
      )
  }
}

const isOfHome = (path: string): boolean => /^~[^/\\]*([/\\]|$)/.test(path)

/** NaN for anything but plain decimals: rejects "0x10", "1e3" and "Infinity", and an empty text that would count as 0. */
const decimal = (text: string): number => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN)

const hostName = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i

const reservedPrefixes = ["xn--", "sthree-", "amzn-s3-demo-"]

const reservedSuffixes = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
