import { Context, Data, type Effect, type Option, type Stream } from "effect"

/** A request to the archive store failed. */
export class ArchiveStoreError extends Data.TaggedError("ArchiveStoreError")<{
  readonly operation: "put" | "head" | "get" | "list"
  readonly key: string
  /** `Conflict`: another object has the key. `Refused`: retrying will not help. `Failed`: retrying may help. */
  readonly kind: "Conflict" | "Refused" | "Failed"
  readonly reason: string
  readonly cause?: unknown
}> {
  override get message() {
    return `${this.operation} ${this.key}: ${this.reason}`
  }
}

/** A finished local file and the object it will become. */
export interface LocalObject {
  readonly key: string
  /** Path of the local file, which is left unchanged. */
  readonly path: string
  /** Size in bytes. */
  readonly size: number
  /** SHA-256 of the whole file, lower-case hex. */
  readonly sha256: string
}

/** What the store reports about an object. `sha256` is none if the store does not know it. */
export interface StoredObject {
  readonly key: string
  readonly size: number
  readonly sha256: Option.Option<string>
}

/** The destination of archives: immutable objects under keys with `/`. */
export class ArchiveStore extends Context.Tag("collector/ArchiveStore")<
  ArchiveStore,
  {
    /**
     * Stores the file under its key, all or nothing. Succeeds if an object with the same length and SHA-256 is already there;
     * one with other content is a `Conflict` and is left as it is. Tries once: retrying is up to the caller.
     */
    readonly put: (object: LocalObject) => Effect.Effect<void, ArchiveStoreError>
    /** What the store itself reports under the key: none if there is no such object. */
    readonly head: (key: string) => Effect.Effect<Option.Option<StoredObject>, ArchiveStoreError>
    /** The object's bytes. Fails if there is no such object. */
    readonly get: (key: string) => Stream.Stream<Uint8Array, ArchiveStoreError>
    /**
     * For stores where this costs nothing: checks that the place of the objects is there, and is the one that was opened. Fails
     * with `Failed` if not; put and head then fail too, so that nothing is stored elsewhere.
     */
    readonly look?: Effect.Effect<void, ArchiveStoreError>
    /**
     * For stores where this leaves nothing behind: stores something small briefly. Fails while nothing can be stored at all.
     */
    readonly tryOut?: Effect.Effect<void, ArchiveStoreError>
    /** All objects whose key starts with the prefix, in key order, in bounded memory. `sha256` can be none. */
    readonly list: (prefix: string) => Stream.Stream<StoredObject, ArchiveStoreError>
  }
>() {}
