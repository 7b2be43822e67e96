import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand
} from "@aws-sdk/client-s3"
import { Duration, Effect, Schedule } from "effect"
import type { LocalObject } from "../ArchiveStore.ts"
import { fileDigest } from "../digest.ts"
import type { S3Timeouts, Send } from "./Client.ts"
import type { Dialect } from "./dialect.ts"
import { kindOf, type S3Failure, toFailure } from "./errors.ts"
import { checksumOf, parquetContentType, uploadTime, withBody } from "./objects.ts"
import { signBody } from "./payload.ts"

/**
 * Size above which an object is sent in parts, and the size of the parts, bytes. S3 accepts no part below 5 MiB except the
 * last.
 */
export interface PartLimits {
  readonly above: number
  readonly size: number
}

export const defaultPartLimits: PartLimits = { above: 64 * 1024 ** 2, size: 16 * 1024 ** 2 }

/** S3's own limit. */
const maxParts = 10_000

/** Maximum size of an object, bytes. */
export const maximalSize = 5 * 1024 ** 4

/** A failed part is sent again, since the others would be too. */
const partRetries = Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(2))

/** S3 assembles the parts before it answers. */
const completion = Duration.minutes(5)

/**
 * Sends the file part by part, each signed with its own hash; the object is invisible until it is complete. Parts of the same
 * object left behind by a killed process are removed first, as are the parts of an upload that fails or is interrupted.
 */
export const putParts = (
  send: Send,
  bucket: string,
  object: LocalObject,
  { checksums, ifNoneMatch }: Dialect,
  timeouts: S3Timeouts,
  limits: PartLimits
): Effect.Effect<void, S3Failure> =>
  Effect.zipRight(
    abortAll(send, bucket, object.key),
    Effect.acquireUseRelease(
      create(send, bucket, object, checksums),
      (upload) =>
        Effect.gen(function* () {
          const size = Math.max(limits.size, Math.ceil(object.size / maxParts))
          const parts: Array<CompletedPart> = []
          for (let start = 0; start < object.size; start += size) {
            const range = { start, end: Math.min(start + size, object.size) - 1 }
            const part = { ...object, ...range, number: parts.length + 1, checksums }
            parts.push(
              yield* putPart(send, { ...upload, ...part }, timeouts).pipe(
                Effect.retry({ schedule: partRetries, while: (failure) => kindOf(failure) === "Failed" })
              )
            )
          }
          yield* send(
            (client, options) =>
              client.send(
                new CompleteMultipartUploadCommand({
                  ...upload,
                  MultipartUpload: { Parts: parts },
                  ...(ifNoneMatch ? { IfNoneMatch: "*" } : {})
                }),
                options
              ),
            { within: Duration.sum(timeouts.request, completion) }
          )
        }),
      (upload, exit) =>
        exit._tag === "Success"
          ? Effect.void
          : Effect.catchAll(abort(send, upload), ({ reason, status }) =>
              status === 404
                ? Effect.void
                : Effect.logWarning("could not remove the parts of a failed upload").pipe(
                    Effect.annotateLogs({ key: object.key, reason })
                  )
            )
    )
  )

interface Upload {
  readonly Bucket: string
  readonly Key: string
  readonly UploadId: string
}

const create = (
  send: Send,
  bucket: string,
  { key, sha256 }: LocalObject,
  checksums: boolean
): Effect.Effect<Upload, S3Failure> =>
  send((client, options) =>
    client.send(
      new CreateMultipartUploadCommand({
        Bucket: bucket,
        Key: key,
        ContentType: parquetContentType,
        Metadata: { sha256 },
        ...(checksums ? { ChecksumAlgorithm: "SHA256" } : {})
      }),
      options
    )
  ).pipe(
    Effect.flatMap(({ UploadId }) =>
      UploadId === undefined
        ? Effect.fail(toFailure(new Error("the server began an upload in parts and did not name it")))
        : Effect.succeed({ Bucket: bucket, Key: key, UploadId })
    )
  )

const putPart = (
  send: Send,
  {
    Bucket,
    Key,
    UploadId,
    checksums,
    end,
    number,
    path,
    start
  }: Upload & {
    readonly path: string
    readonly number: number
    /** Offsets of the first and of the last byte. */
    readonly start: number
    readonly end: number
    readonly checksums: boolean
  },
  timeouts: S3Timeouts
): Effect.Effect<CompletedPart, S3Failure> =>
  Effect.gen(function* () {
    const size = end - start + 1
    const { sha256 } = yield* fileDigest(path, toFailure, { start, end })
    const checksum = checksums ? checksumOf(sha256) : undefined
    const { ETag } = yield* withBody(path, { start, end }, (body) =>
      send(
        (client, { abortSignal }) =>
          client.send(
            signBody(
              new UploadPartCommand({
                Bucket,
                Key,
                UploadId,
                PartNumber: number,
                Body: body,
                ContentLength: size,
                ...checksum
              }),
              sha256
            ),
            { abortSignal }
          ),
        { within: uploadTime(size, timeouts), once: true }
      )
    )
    return {
      PartNumber: number,
      ...(ETag === undefined ? {} : { ETag }),
      ...(checksum === undefined ? {} : { ChecksumSHA256: checksum.ChecksumSHA256 })
    }
  })

const abort = (send: Send, upload: Upload): Effect.Effect<unknown, S3Failure> =>
  send((client, options) => client.send(new AbortMultipartUploadCommand(upload), options))

/**
 * Removes unfinished uploads for this key: the key has one writer, which is only starting now. Without the right to list them,
 * nothing is removed.
 */
const abortAll = (send: Send, bucket: string, key: string): Effect.Effect<void> =>
  send((client, options) =>
    client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: key }), options)
  ).pipe(
    Effect.flatMap(({ Uploads = [] }) =>
      Effect.forEach(Uploads, ({ Key, UploadId }) =>
        Key === key && UploadId !== undefined
          ? Effect.zipRight(
              abort(send, { Bucket: bucket, Key, UploadId }),
              Effect.logInfo("restarting an upload that was cut off").pipe(Effect.annotateLogs({ key }))
            )
          : Effect.void
      )
    ),
    Effect.catchAll(({ reason }) =>
      Effect.logDebug("could not list unfinished uploads").pipe(Effect.annotateLogs({ key, reason }))
    ),
    Effect.asVoid
  )
