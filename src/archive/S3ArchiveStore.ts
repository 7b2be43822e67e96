import * as NodeFs from "node:fs/promises"
import { Duration, Effect, Layer, Option, Ref, Stream } from "effect"
import type { ArchiveStoreUnusable } from "../domain/StartupError.ts"
import { ArchiveStore, ArchiveStoreError, type LocalObject, type StoredObject } from "./ArchiveStore.ts"
import { fileDigest, streamDigest } from "./digest.ts"
import { checkKey } from "./objectKey.ts"
import { ensureBucket, refused } from "./s3/bucket.ts"
import { defaultTimeouts, makeClient, type S3Settings, type S3Timeouts, timedOut } from "./s3/Client.ts"
import { checksContent, isOfContent, isReadBack } from "./s3/content.ts"
import { type Dialect, isUnsupported, simplerThan, wholeDialect } from "./s3/dialect.ts"
import { isAccessDenied, isRefusal, kindOf, lacking, type S3Failure, toFailure } from "./s3/errors.ts"
import { getObject, headObject, listObjects, putObject } from "./s3/objects.ts"
import { defaultPartLimits, maximalSize, type PartLimits, putParts } from "./s3/parts.ts"

/**
 * Stores objects in a bucket, on AWS or on any server that speaks S3. Building the layer finds credentials and looks for the
 * bucket, which is created if it is missing. Fails if there are no credentials or the server refuses them. A server that cannot
 * be reached, or will not create the bucket, is logged as a warning and tried again at the next put.
 *
 * What is put is signed with its SHA-256, and is read back before the put succeeds: only its end if the server was seen to
 * refuse content other than what was signed, otherwise all of it.
 */
export const layer = (
  settings: S3Settings,
  options: Partial<S3Timeouts> & {
    /** Leaves the bucket as it is, and does not check whether it exists. */
    readonly readOnly?: boolean
    readonly parts?: PartLimits
  } = {}
): Layer.Layer<ArchiveStore, ArchiveStoreUnusable> => Layer.scoped(ArchiveStore, make(settings, options))

/** How long recording waits for a server that accepts requests but does not answer them. */
const readyWithin = Duration.seconds(5)

const make = (
  settings: S3Settings,
  {
    parts = defaultPartLimits,
    readOnly = false,
    ...given
  }: Partial<S3Timeouts> & { readonly readOnly?: boolean; readonly parts?: PartLimits }
) =>
  Effect.gen(function* () {
    const { bucket } = settings
    const timeouts = { ...defaultTimeouts, ...given }
    const send = yield* makeClient(settings, timeouts)
    const bucketIsThere = yield* Ref.make(false)
    const dialect = yield* Ref.make({ ...wholeDialect, isProven: false })
    const knowsChecksumMode = yield* Ref.make(true)
    const contentIsChecked = yield* Ref.make(Option.none<boolean>())
    /** The object most recently put and read back. */
    const confirmed = yield* Ref.make(Option.none<LocalObject>())

    const prepareBucket = Effect.zipRight(
      ensureBucket(send, settings, ({ reason }) =>
        Effect.logWarning(
          `BUCKET_NAME=${bucket}: no permission to list the bucket (s3:ListBucket), which commands that read the archive need: ${reason}`
        )
      ),
      Ref.set(bucketIsThere, true)
    )

    yield* prepareBucket.pipe(
      Effect.timeoutFail({ duration: readyWithin, onTimeout: () => timedOut(readyWithin) }),
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

    const headOf = (key: string) =>
      Effect.gen(function* () {
        const checksums = yield* Ref.get(knowsChecksumMode)
        return yield* headObject(send, bucket, key, { checksums }).pipe(
          Effect.catchIf(
            ({ status }) => checksums && (status === 400 || status === 501),
            () =>
              Effect.tap(
                headObject(send, bucket, key, { checksums: false }),
                Ref.set(knowsChecksumMode, false)
              )
          )
        )
      })

    /** Whether the server compares contents with their hashes; probed until its answer is conclusive. */
    const isChecked = Effect.gen(function* () {
      const known = yield* Ref.get(contentIsChecked)
      if (Option.isSome(known)) return known.value
      const found = yield* checksContent(send, bucket)
      yield* Ref.set(contentIsChecked, found)
      if (Option.contains(found, false)) {
        yield* Effect.logWarning(
          "the S3 server does not verify checksums, reading every object back after its upload"
        )
      }
      return Option.getOrElse(found, () => false)
    })

    const isThere = (object: LocalObject, options: { readonly whole: boolean }) =>
      isReadBack(send, bucket, object, { ...options, idle: timeouts.idle }).pipe(
        Effect.mapError((failure) =>
          isAccessDenied(failure)
            ? { ...failure, reason: `no permission to read from it (s3:GetObject): ${failure.reason}` }
            : failure
        ),
        Effect.tap((isSame) => (isSame ? Ref.set(confirmed, Option.some(object)) : Effect.void))
      )

    const confirm = (object: LocalObject) =>
      Effect.flatMap(isChecked, (checked) => isThere(object, { whole: !checked })).pipe(
        Effect.flatMap((isSame) => (isSame ? Effect.void : Effect.fail(notWhatWasSent)))
      )

    /**
     * Sends the object in the way the server accepts, which is found by trial until it has accepted one. `over`: replaces an
     * existing object.
     */
    const sendObject = (object: LocalObject, { over }: { readonly over: boolean }) =>
      Effect.gen(function* () {
        const { isProven, ...known } = yield* Ref.get(dialect)
        const first = over ? { ...known, ifNoneMatch: false } : known
        const attempt = (use: Dialect) =>
          Effect.zipRight(
            object.size > parts.above
              ? putParts(send, bucket, object, use, timeouts, parts)
              : putObject(send, bucket, object, use, timeouts),
            Ref.update(dialect, (before) => ({
              checksums: use.checksums,
              ifNoneMatch: over ? before.ifNoneMatch : use.ifNoneMatch,
              isProven: before.isProven || !over
            }))
          )
        const attemptSimpler = (
          failure: S3Failure,
          [next, ...others]: ReadonlyArray<Dialect>
        ): Effect.Effect<void, S3Failure> =>
          next === undefined
            ? Effect.fail(failure)
            : attempt(next).pipe(
                Effect.zipRight(
                  Effect.logWarning(
                    `the S3 server refuses ${difference(first, next)}, objects are put without: ${failure.reason}`
                  )
                ),
                Effect.catchIf(isUnsupported, () => attemptSimpler(failure, others))
              )
        yield* Effect.catchIf(
          attempt(first),
          (failure) => !isProven && isUnsupported(failure),
          (failure) => attemptSimpler(failure, simplerThan(first, failure))
        )
      }).pipe(Effect.catchIf(isOfContent, (failure) => contentRefused(object, failure)))

    /**
     * Succeeds if the object is ours, fails with a conflict if it is not, and runs `otherwise` if there is none. An object of
     * our own that differs from what was sent is replaced.
     */
    const compareOr = (
      object: LocalObject,
      otherwise: Effect.Effect<void, S3Failure | ArchiveStoreError>
    ): Effect.Effect<void, S3Failure | ArchiveStoreError> =>
      Effect.gen(function* () {
        const stored = yield* headOf(object.key)
        if (Option.isNone(stored)) return yield* otherwise
        const { sha256, size } = stored.value
        const isNamed = Option.contains(sha256, object.sha256)
        const whole = !isNamed || !(yield* isChecked)
        if (
          size === object.size &&
          (isNamed || Option.isNone(sha256)) &&
          (yield* isThere(object, { whole }))
        ) {
          return
        }
        if (!isNamed) return yield* conflictOf(object, stored.value)
        yield* Effect.logWarning("stored object differs from what was sent, uploading it again").pipe(
          Effect.annotateLogs({ key: object.key })
        )
        yield* sendObject(object, { over: true })
        yield* confirm(object)
      })

    const putUnlessTaken = (object: LocalObject) =>
      sendObject(object, { over: false }).pipe(
        Effect.zipRight(confirm(object)),
        Effect.catchIf(
          ({ status }) => status === 412,
          // an object that vanished after all: whatever holds the key now is seen by the next attempt
          (failure) => compareOr(object, Effect.fail({ ...failure, status: undefined }))
        )
      )

    // HEAD first: an upload whose confirmation was lost is not sent twice, and servers without If-None-Match are safe.
    const put = (object: LocalObject) =>
      checkLocal(object).pipe(
        Effect.zipRight(Effect.unlessEffect(prepareBucket, Ref.get(bucketIsThere))),
        Effect.zipRight(compareOr(object, putUnlessTaken(object))),
        Effect.tapError((error) =>
          "code" in error && error.code === "NoSuchBucket" ? Ref.set(bucketIsThere, false) : Effect.void
        ),
        Effect.mapError(asError("put", object.key))
      )

    /** The result of HEAD, with the hash of the readable content where HEAD's hash may only be the one sent along with it. */
    const head = (key: string): Effect.Effect<Option.Option<StoredObject>, S3Failure> =>
      Effect.gen(function* () {
        const stored = yield* headOf(key)
        if (readOnly || Option.isNone(stored)) return stored
        const { sha256 } = stored.value
        const last = Option.filter(yield* Ref.get(confirmed), (object) => object.key === key)
        if (Option.isSome(last)) {
          return Option.some({ ...stored.value, sha256: Option.orElseSome(sha256, () => last.value.sha256) })
        }
        if (Option.isSome(sha256) && (yield* isChecked)) return stored
        const found = yield* streamDigest(getObject(send, bucket, key, timeouts.idle))
        return Option.some({ key, size: found.size, sha256: Option.some(found.sha256) })
      })

    return ArchiveStore.of({
      put,
      head: (key) => Effect.zipRight(checkKey("head", key), Effect.mapError(head(key), asError("head", key))),
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

/** A stream that is shorter or longer than announced hangs on one server and is stored truncated by another. */
const checkLocal = (object: LocalObject): Effect.Effect<void, ArchiveStoreError> => {
  const refuse = (reason: string, cause?: unknown) =>
    new ArchiveStoreError({ operation: "put", key: object.key, kind: "Refused", reason, cause })
  if (object.size > maximalSize) {
    return refuse(`${object.size} bytes are more than S3 takes (${maximalSize})`)
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

/** The server received other bytes than were signed: either the file has them, or they changed on the way. */
const contentRefused = (object: LocalObject, failure: S3Failure): Effect.Effect<never, S3Failure> =>
  Effect.flatMap(fileDigest(object.path, toFailure), ({ sha256 }) =>
    Effect.fail(
      sha256 === object.sha256
        ? { ...failure, status: undefined, reason: `its bytes changed on the way: ${failure.reason}` }
        : failure
    )
  )

const notWhatWasSent: S3Failure = {
  status: undefined,
  code: "NotWhatWasSent",
  reason: "the server took the object, and what can be read back is not what was sent"
}

const difference = (from: Dialect, to: Dialect): string =>
  [
    ...(from.checksums && !to.checksums ? ["checksum headers"] : []),
    ...(from.ifNoneMatch && !to.ifNoneMatch ? ["If-None-Match"] : [])
  ].join(" and ")

const conflictOf = (object: LocalObject, stored: StoredObject): ArchiveStoreError =>
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
          reason:
            failure.status === 404 && operation === "get"
              ? "no such object"
              : `${failure.reason}${lacking(failure, operation)}`,
          cause: failure
        })
