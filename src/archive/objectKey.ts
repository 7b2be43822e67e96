import { Effect } from "effect"
import { ArchiveStoreError } from "./ArchiveStore.ts"

/** Refuses keys that could escape the store: absolute ones, empty segments, `.`, `..`, control characters, backslashes. */
export const checkKey = (
  operation: ArchiveStoreError["operation"],
  key: string
): Effect.Effect<void, ArchiveStoreError> =>
  key.split("/").every(isSegment)
    ? Effect.void
    : new ArchiveStoreError({ operation, key, kind: "Refused", reason: "not a valid object key" })

/** Like `checkKey`, for a prefix, whose last segment can be incomplete. */
export const checkPrefix = (prefix: string): Effect.Effect<void, ArchiveStoreError> => {
  const segments = prefix.split("/")
  const last = segments.pop() ?? ""
  return segments.every(isSegment) && (last === "" || isSegment(last))
    ? Effect.void
    : new ArchiveStoreError({
        operation: "list",
        key: prefix,
        kind: "Refused",
        reason: "not a valid key prefix"
      })
}

const isSegment = (segment: string): boolean =>
  segment !== "" &&
  segment !== "." &&
  segment !== ".." &&
  Buffer.byteLength(segment) <= 255 &&
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  !/[\u0000-\u001f\u007f\\]/.test(segment)
