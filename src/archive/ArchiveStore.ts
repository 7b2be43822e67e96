import { Context, Data, type Effect, type Option, type Stream } from "effect"

/** A request to the archive store failed. */
export class ArchiveStoreError extends Data.TaggedError("ArchiveStoreError")<{
  readonly operation: "put" | "head" | "get" | "list"
  readonly key: string
  /** `Conflict`: another object has the key. `Refused`: trying again will not help. `Failed`: it may. */
  readonly kind: "Conflict" | "Refused" | "Failed"
  readonly reason: string
  readonly cause?: unknown
}> {
  override get message() {
    return `${this.operation} ${this.key}: ${this.reason}`
  }
}

/** A finished local file and the object it is to become. */
export interface LocalObject {
  readonly key: string
  /** Path of the local file. It is not changed. */
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** Of the whole file, lower-case hex. */
  readonly sha256: string
}

/** What the store says of an object. `sha256` is none where the store knows none. */
export interface StoredObject {
  readonly key: string
  readonly size: number
  readonly sha256: Option.Option<string>
}

/** Where archives go: immutable objects under keys with `/`. */
export class ArchiveStore extends Context.Tag("collector/ArchiveStore")<
  ArchiveStore,
  {
    /**
     * Stores the file under its key, all or nothing. An object that is there already with the same length and SHA-256
     * is success; one with other content is a `Conflict` and stays as it is. Tries once: retrying is the caller's.
     */
    readonly put: (object: LocalObject) => Effect.Effect<void, ArchiveStoreError>
    /** What the store itself says is under the key: none if there is no such object. */
    readonly head: (key: string) => Effect.Effect<Option.Option<StoredObject>, ArchiveStoreError>
    /** The object's bytes; fails if there is no such object. */
    readonly get: (key: string) => Stream.Stream<Uint8Array, ArchiveStoreError>
    /**
     * Where it can be asked for nothing: whether the place of the objects is there, and the one that was opened. Fails with
     * `Failed` if it is not; put and head then do, too, so that nothing is stored elsewhere.
     */
    readonly look?: Effect.Effect<void, ArchiveStoreError>
    /** Where that leaves nothing behind: stores something small for a moment. Fails while nothing can be stored at all. */
    readonly tryOut?: Effect.Effect<void, ArchiveStoreError>
    /** All objects whose key begins with the prefix, in key order, in bounded memory. `sha256` may be none. */
    readonly list: (prefix: string) => Stream.Stream<StoredObject, ArchiveStoreError>
  }
>() {}
