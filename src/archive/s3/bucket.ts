import { CreateBucketCommand, HeadBucketCommand, ListObjectsV2Command } from "@aws-sdk/client-s3"
import { Effect, Option } from "effect"
import { ArchiveStoreUnusable } from "../../domain/StartupError.ts"
import type { S3Settings, Send } from "./Client.ts"
import { checksContent } from "./content.ts"
import { isAccessDenied, type S3Failure } from "./errors.ts"

/**
 * Ensures that the bucket exists: creates it if it is missing. A bucket that cannot be listed is accepted if it can be written;
 * `onUnlisted` is run then.
 */
export const ensureBucket = (
  send: Send,
  { bucket }: S3Settings,
  onUnlisted: (failure: S3Failure) => Effect.Effect<void>
): Effect.Effect<void, S3Failure> =>
  send((client, options) => client.send(new HeadBucketCommand({ Bucket: bucket }), options)).pipe(
    Effect.asVoid,
    Effect.catchIf(
      (failure) => failure.status === 404,
      () => createBucket(send, bucket)
    ),
    Effect.catchIf(
      (failure) => failure.status === 403,
      // HEAD has no error text, a list request does
      () =>
        Effect.asVoid(
          send((client, options) =>
            client.send(new ListObjectsV2Command({ Bucket: bucket, MaxKeys: 1 }), options)
          )
        )
    ),
    Effect.catchIf(isAccessDenied, (failure) =>
      Effect.flatMap(checksContent(send, bucket), (answered) =>
        Option.isSome(answered) ? onUnlisted(failure) : Effect.fail(failure)
      )
    )
  )

/** The message of a refusal at startup: which settings to check. */
export const refused = (settings: S3Settings, failure: S3Failure): ArchiveStoreUnusable => {
  const server = Option.match(settings.endpoint, {
    onNone: () => "S3",
    onSome: (endpoint) => `S3_ENDPOINT=${endpoint.origin}`
  })
  return new ArchiveStoreUnusable({
    reason: `${server} refused access to BUCKET_NAME=${settings.bucket}: ${failure.reason}: ${advice(failure.code)}`
  })
}

/** The SDK sends the region as the location, except for us-east-1, where it must not be sent. */
const createBucket = (send: Send, bucket: string): Effect.Effect<void, S3Failure> =>
  send((client, options) => client.send(new CreateBucketCommand({ Bucket: bucket }), options)).pipe(
    Effect.asVoid,
    Effect.catchIf(
      (failure) => failure.code === "BucketAlreadyOwnedByYou",
      () => Effect.void
    )
  )

const advice = (code: string): string => {
  switch (code) {
    case "InvalidAccessKeyId":
      return "is AWS_ACCESS_KEY right?"
    case "SignatureDoesNotMatch":
      return "is AWS_SECRET_KEY right?"
    default:
      return "check AWS_ACCESS_KEY, AWS_SECRET_KEY and whether they may use the bucket (s3:ListBucket) and its objects (s3:PutObject, s3:GetObject, s3:AbortMultipartUpload)"
  }
}
