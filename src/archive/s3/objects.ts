import { createReadStream } from "node:fs"
import { Readable } from "node:stream"
import {
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand
} from "@aws-sdk/client-s3"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Chunk, Duration, Effect, Option, Stream } from "effect"
import type { LocalObject, StoredObject } from "../ArchiveStore.ts"
import { type S3Timeouts, type Send, timedOut } from "./Client.ts"
import type { Dialect } from "./dialect.ts"
import { isAccessDenied, type S3Failure, toFailure } from "./errors.ts"
import { signBody } from "./payload.ts"

export const parquetContentType = "application/vnd.apache.parquet"

/** Uploads slower than this, bytes per second, are abandoned. */
const slowestUpload = 65_536

/** How long a request with a body of `size` bytes can take. */
export const uploadTime = (size: number, { request }: S3Timeouts): Duration.Duration =>
  Duration.sum(request, Duration.seconds(size / slowestUpload))

/**
 * Sends the file, signed with its hash, which the server keeps as its checksum. The metadata carries the hash too, for servers
 * without checksums.
 */
export const putObject = (
  send: Send,
  bucket: string,
  object: LocalObject,
  { checksums, ifNoneMatch }: Dialect,
  timeouts: S3Timeouts
): Effect.Effect<void, S3Failure> =>
  withBody(object.path, {}, (body) =>
    send(
      (client, { abortSignal }) =>
        client.send(
          signBody(
            new PutObjectCommand({
              Bucket: bucket,
              Key: object.key,
              Body: body,
              ContentLength: object.size,
              ContentType: parquetContentType,
              Metadata: { sha256: object.sha256 },
              ...(checksums ? checksumOf(object.sha256) : {}),
              ...(ifNoneMatch ? { IfNoneMatch: "*" } : {})
            }),
            object.sha256
          ),
          { abortSignal }
        ),
      { within: uploadTime(object.size, timeouts), once: true }
    )
  ).pipe(Effect.asVoid)

/** Includes the algorithm: without it some servers ignore the checksum beside it. */
export const checksumOf = (sha256: string) => ({
  ChecksumAlgorithm: "SHA256" as const,
  ChecksumSHA256: Buffer.from(sha256, "hex").toString("base64")
})

/**
 * What the server reports about an object. None if it answers 404, or if it answers 403 and nothing visible has the key: S3
 * does not tell clients that cannot list the bucket that there is no such object.
 */
export const headObject = (
  send: Send,
  bucket: string,
  key: string,
  { checksums }: Pick<Dialect, "checksums">
): Effect.Effect<Option.Option<StoredObject>, S3Failure> =>
  send((client, options) =>
    client.send(
      new HeadObjectCommand({ Bucket: bucket, Key: key, ...(checksums ? { ChecksumMode: "ENABLED" } : {}) }),
      options
    )
  ).pipe(
    Effect.map((head) => Option.some({ key, size: head.ContentLength ?? 0, sha256: sha256Of(head) })),
    Effect.catchIf(
      (failure) => failure.status === 404,
      () => Effect.succeedNone
    ),
    Effect.catchIf(
      (failure) => failure.status === 403,
      (failure) =>
        Effect.flatMap(mayBeThere(send, bucket, key), (isThere) =>
          isThere ? Effect.fail(failure) : Effect.succeedNone
        )
    )
  )

/** Whether a list shows the key. A refused list tells more than a refused HEAD, which has no message. */
const mayBeThere = (send: Send, bucket: string, key: string): Effect.Effect<boolean, S3Failure> =>
  send((client, options) =>
    client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: key, MaxKeys: 1 }), options)
  ).pipe(
    Effect.map(({ Contents = [] }) => Contents.some(({ Key }) => Key === key)),
    Effect.catchIf(isAccessDenied, () => Effect.succeed(false))
  )

/** The bytes of an object, from a given one on. The connection is closed when the stream ends, however it ends. */
export const getObject = (
  send: Send,
  bucket: string,
  key: string,
  idle: Duration.DurationInput,
  from = 0
): Stream.Stream<Uint8Array, S3Failure> =>
  Stream.unwrapScoped(
    Effect.uninterruptibleMask((restore) =>
      restore(
        send((client, options) =>
          client.send(
            new GetObjectCommand({
              Bucket: bucket,
              Key: key,
              ...(from > 0 ? { Range: `bytes=${from}-` } : {})
            }),
            options
          )
        )
      ).pipe(
        Effect.tap(({ Body }) =>
          Effect.addFinalizer(() => Effect.sync(() => Body instanceof Readable && Body.destroy()))
        ),
        Effect.map(({ Body }) =>
          Body instanceof Readable
            ? NodeStream.fromReadable<S3Failure, Uint8Array>(() => Body, toFailure)
            : Stream.empty
        )
      )
    )
  ).pipe(Stream.timeoutFail(() => timedOut(idle), idle))

/** The objects below a prefix, one page of the server at a time. */
export const listObjects = (
  send: Send,
  bucket: string,
  prefix: string
): Stream.Stream<StoredObject, S3Failure> =>
  Stream.paginateChunkEffect(Option.none<string>(), (token) =>
    Effect.map(
      send((client, options) =>
        client.send(
          new ListObjectsV2Command({
            Bucket: bucket,
            Prefix: prefix,
            ...(Option.isSome(token) ? { ContinuationToken: token.value } : {})
          }),
          options
        )
      ),
      (page) => {
        const objects = (page.Contents ?? []).flatMap(({ Key, Size }) =>
          Key === undefined ? [] : [{ key: Key, size: Size ?? 0, sha256: Option.none<string>() }]
        )
        const next =
          page.IsTruncated === true ? Option.fromNullable(page.NextContinuationToken) : Option.none()
        return [Chunk.unsafeFromArray(objects), Option.map(next, Option.some)]
      }
    )
  )

/** Uses a file, or its bytes from `start` to `end`, as the body of a request. */
export const withBody = <A>(
  path: string,
  range: { readonly start?: number; readonly end?: number },
  use: (body: Readable) => Effect.Effect<A, S3Failure>
): Effect.Effect<A, S3Failure> => Effect.acquireUseRelease(openBody(path, range), use, closeBody)

/** Opens the file's stream. Its errors go to its reader; unhandled, they would end the process. */
const openBody = (
  path: string,
  range: { readonly start?: number; readonly end?: number }
): Effect.Effect<Readable, S3Failure> =>
  Effect.async((resume) => {
    const body = createReadStream(path, { ...range, highWaterMark: 262_144 })
    body.on("error", () => {})
    body.once("error", (cause) => resume(Effect.fail(toFailure(cause))))
    body.once("open", () => resume(Effect.succeed(body)))
  })

/** The SDK leaves the file open when a request fails early. */
const closeBody = (body: Readable): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (body.closed) return resume(Effect.void)
    body.once("close", () => resume(Effect.void))
    body.destroy()
  })

/** The server's own checksum of the whole object, otherwise the hash that the put left in the metadata. */
const sha256Of = ({ ChecksumSHA256, Metadata }: HeadObjectCommandOutput): Option.Option<string> =>
  Option.fromNullable(ChecksumSHA256).pipe(
    Option.map((checksum) => Buffer.from(checksum, "base64").toString("hex")),
    Option.filter((hex) => isSha256(hex) && !(ChecksumSHA256 ?? "").includes("-")), // "…-4": of parts
    Option.orElse(() => Option.filter(Option.fromNullable(Metadata?.sha256), isSha256))
  )

const isSha256 = (hex: string): boolean => /^[0-9a-f]{64}$/.test(hex)
