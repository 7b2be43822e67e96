import { Effect } from "effect"
import { codeOf } from "../../domain/codeOf.ts"
import { reasonOf } from "../../domain/reasonOf.ts"
import { ArchiveStoreError } from "../ArchiveStore.ts"

/** Why an attempt to publish failed: the operating system's code decides what is tried next. */
export interface Obstacle {
  readonly code: string | undefined
  readonly cause: unknown
}

export const obstacle = (cause: unknown): Obstacle => ({ code: codeOf(cause), cause })

export const conflict = "CONFLICT"

export class Conflicting extends Error {
  readonly code = conflict
  override readonly message = "another object has this key"
}

export const attempt = <A, E>(
  evaluate: () => Promise<A>,
  failed: (cause: unknown) => E
): Effect.Effect<A, E> => Effect.tryPromise({ try: evaluate, catch: failed })

export const failure =
  (operation: ArchiveStoreError["operation"], key: string) =>
  (cause: unknown): ArchiveStoreError =>
    new ArchiveStoreError({ operation, key, kind: kindOf(codeOf(cause)), reason: reasonOf(cause), cause })

/** A full disk may have room again; a missing permission or file will not fix itself. */
const kindOf = (code: string | undefined): ArchiveStoreError["kind"] => {
  if (code === conflict) return "Conflict"
  return code !== undefined && hopeless.has(code) ? "Refused" : "Failed"
}

const hopeless = new Set([
  "EACCES",
  "EISDIR",
  "ELOOP",
  "ENAMETOOLONG",
  "ENOENT",
  "ENOTDIR",
  "EEXIST",
  "EPERM",
  "EROFS"
])

export const isMissing = (code: string | undefined): boolean => code === "ENOENT" || code === "ENOTDIR"
