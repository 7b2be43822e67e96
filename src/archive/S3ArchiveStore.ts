import * as NodeFs from "node:fs/promises"
import { Effect, Layer, Option, Ref, Stream } from "effect"
import type { ArchiveStoreUnusable } from "../domain/StartupError.ts"
import { ArchiveStore, ArchiveStoreError, type LocalObject, type StoredObject } from "./ArchiveStore.ts"
import { checkKey } from "./objectKey.ts"
import { ensureBucket, refused } from "./s3/bucket.ts"
import { defaultTimeouts, makeClient, type S3Settings, type S3Timeouts } from "./s3/Client.ts"
import { isNotImplemented, isRefusal, kindOf, type S3Failure } from "./s3/errors.ts"
import { getObject, headObject, listObjects, maximalSize, putObject } from "./s3/objects.ts"

/**
 * Objects in a bucket, on AWS or on any server that speaks S3. Building it finds credentials and looks for the bucket,
 * which is created if it is missing. It fails if there are no credentials or the server refuses them; a server that
 * cannot be reached, or will not create the bucket, is warned of and tried again at the next put.
 */
export const layer = (
  settings: S3Settings,
  options: Partial<S3Timeouts> & {
    /** Leaves the bucket as it is, and does not ask whether it is there. */
    readonly readOnly?: boolean
  } = {}
): Layer.Layer<ArchiveStore, ArchiveStoreUnusable> => Layer.scoped(ArchiveStore, make(settings, options))

const make = (
  settings: S3Settings,
  { readOnly = false, ...given }: Partial<S3Timeouts> & { readonly readOnly?: boolean }
) =>
  Effect.gen(function* () {
    const { bucket } = settings
    const timeouts = { ...defaultTimeouts, ...given }
    const send = yield* makeClient(settings, timeouts)
    const bucketIsThere = yield* Ref.make(false)
    const knowsIfNoneMatch = yield* Ref.make(true)

    const prepareBucket = Effect.zipRight(ensureBucket(send, settings), Ref.set(bucketIsThere, true))

    yield* prepareBucket.pipe(
      Effect.catchAll((failure) =>
        isRefusal(failure)
          ? refused(settings, failure)
          : Effect.logWarning(
              `BUCKET_NAME=${bucket}: the bucket is not ready: ${failure.reason}; trying again at the next upload`
            )
      ),
      Effect.annotateLogs({ module: "archive" }),
      Effect.unless(() => readOnly)
    )

    /** Success if the object is ours, a conflict if it is not, `otherwise` if there is none. */
    const compareOr = (object: LocalObject, otherwise: Effect.Effect<void, S3Failure | ArchiveStoreError>) =>
      Effect.flatMap(
        headObject(send, bucket, object.key),
        Option.match({
          onNone: () => otherwise,
          onSome: (stored) => (isSame(stored, object) ? Effect.void : conflict(object, stored))
        })
      )

    const putUnlessTaken = (object: LocalObject): Effect.Effect<void, S3Failure | ArchiveStoreError> =>
      Effect.flatMap(Ref.get(knowsIfNoneMatch), (ifNoneMatch) =>
        Effect.catchAll(putObject(send, bucket, object, { ifNoneMatch, timeouts }), (failure) => {
          // an object that vanished after all: whoever has it now will be seen at the next attempt
          if (failure.status === 412) return compareOr(object, Effect.fail({ ...failure, status: undefined }))
          if (!ifNoneMatch || !isNotImplemented(failure)) return Effect.fail(failure)
          return Effect.zipRight(Ref.set(knowsIfNoneMatch, false), putUnlessTaken(object))
        })
      )

    // HEAD first: an upload that was confirmed to nobody is not sent twice, and servers without If-None-Match are safe.
    const put = (object: LocalObject) =>
      checkLocal(object).pipe(
        Effect.zipRight(Effect.unlessEffect(prepareBucket, Ref.get(bucketIsThere))),
        Effect.zipRight(compareOr(object, putUnlessTaken(object))),
        Effect.tapError((error) =>
          "code" in error && error.code === "NoSuchBucket" ? Ref.set(bucketIsThere, false) : Effect.void
        ),
        Effect.mapError(asError("put", object.key))
      )

    return ArchiveStore.of({
      put,
      head: (key) =>
        Effect.zipRight(
          checkKey("head", key),
          Effect.mapError(headObject(send, bucket, key), asError("head", key))
        ),
      get: (key) =>
        Stream.unwrap(
          Effect.as(
            checkKey("get", key),
            Stream.mapError(getObject(send, bucket, key, timeouts.idle), asError("get", key))
          )
        ),
      list: (prefix) => Stream.mapError(listObjects(send, bucket, prefix), asError("list", prefix))
    })
  })

/** A stream that is shorter or longer than announced hangs at one server and is stored cut off by another. */
const checkLocal = (object: LocalObject): Effect.Effect<void, ArchiveStoreError> => {
  const refuse = (reason: string, cause?: unknown) =>
    new ArchiveStoreError({ operation: "put", key: object.key, kind: "Refused", reason, cause })
  if (object.size > maximalSize) {
    return refuse(`${object.size} bytes are more than S3 takes in one request (${maximalSize})`)
  }
  return checkKey("put", object.key).pipe(
    Effect.zipRight(
      Effect.tryPromise({
        try: () => NodeFs.stat(object.path),
        catch: (cause) => refuse(`the local file cannot be read: ${object.path}`, cause)
      })
    ),
    Effect.flatMap(({ size }) =>
      size === object.size
        ? Effect.void
        : refuse(`the local file has ${size} bytes where there should be ${object.size}`)
    )
  )
}

const isSame = (stored: StoredObject, object: LocalObject): boolean =>
  stored.size === object.size && Option.contains(stored.sha256, object.sha256)

const conflict = (object: LocalObject, stored: StoredObject): ArchiveStoreError =>
  new ArchiveStoreError({
    operation: "put",
    key: object.key,
    kind: "Conflict",
    reason: `another object has this key: ${stored.size} bytes, SHA-256 ${Option.getOrElse(stored.sha256, () => "unknown")}`
  })

const asError =
  (operation: ArchiveStoreError["operation"], key: string) =>
  (failure: S3Failure | ArchiveStoreError): ArchiveStoreError =>
    failure instanceof ArchiveStoreError
      ? failure
      : new ArchiveStoreError({
          operation,
          key,
          kind: kindOf(failure),
          reason: failure.status === 404 && operation === "get" ? "no such object" : failure.reason,
          cause: failure
        })
