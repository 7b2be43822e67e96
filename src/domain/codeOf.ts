import { Predicate } from "effect"

/** Returns the code of an error, such as ENOENT or SQLITE_BUSY; undefined if it has none. */
export const codeOf = (cause: unknown): string | undefined =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined
