import type { S3Failure } from "./errors.ts"

/** What a server accepts on a put besides the object. */
export interface Dialect {
  /** The condition that the key is free. */
  readonly ifNoneMatch: boolean
  /** `x-amz-checksum-sha256` and its companions; without it only the signature covers the content. */
  readonly checksums: boolean
}

export const wholeDialect: Dialect = { ifNoneMatch: true, checksums: true }

/** Whether the server may have refused a request because of what it carries besides the object. */
export const isUnsupported = ({ code, status }: S3Failure): boolean =>
  status === 501 || (status === 400 && !verdicts.test(code))

/** The simpler dialects to try in that case, the likeliest first. */
export const simplerThan = (
  { checksums, ifNoneMatch }: Dialect,
  { code, reason, status }: S3Failure
): ReadonlyArray<Dialect> => {
  const unconditional = { ifNoneMatch: false, checksums }
  const withoutChecksums = { ifNoneMatch, checksums: false }
  const isOfCondition =
    !/checksum/i.test(reason) &&
    (status === 501 || /not_?implemented/i.test(code) || /if-none-match/i.test(reason))
  const simplerByOne = isOfCondition ? [unconditional, withoutChecksums] : [withoutChecksums, unconditional]
  return ifNoneMatch && checksums
    ? [...simplerByOne, { ifNoneMatch: false, checksums: false }]
    : simplerByOne.filter((dialect) => dialect.ifNoneMatch !== ifNoneMatch || dialect.checksums !== checksums)
}

/** The codes with which S3 answers 400 about the body, the time, the place or the key, whatever else was requested. */
const verdicts =
  /digest|mismatch|^IncompleteBody|Timeout|TimeTooSkewed|Expired|InTheFuture|TooLarge|TooSmall|TooLong|Malformed|Location|Token|BucketName|ObjectName|Throttl|SlowDown|AccessKey/i
