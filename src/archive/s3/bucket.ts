import { CreateBucketCommand, HeadBucketCommand } from "@aws-sdk/client-s3"
import { Effect, Option } from "effect"
import { ArchiveStoreUnusable } from "../../domain/StartupError.ts"
import type { S3Settings, Send } from "./Client.ts"
import type { S3Failure } from "./errors.ts"

/** Sees to it that the bucket is there: creates it if it is missing. */
export const ensureBucket = (send: Send, { bucket }: S3Settings): Effect.Effect<void, S3Failure> =>
  send((client, options) => client.send(new HeadBucketCommand({ Bucket: bucket }), options)).pipe(
    Effect.asVoid,
    Effect.catchIf(
      (failure) => failure.status === 404,
      () => createBucket(send, bucket)
    )
  )

/** What a refusal at start-up says: which settings to look at. */
export const refused = (settings: S3Settings, failure: S3Failure): ArchiveStoreUnusable => {
  const server = Option.match(settings.endpoint, {
    onNone: () => "S3",
    onSome: (endpoint) => `S3_ENDPOINT=${endpoint.origin}`
  })
  return new ArchiveStoreUnusable({
    reason: `${server} refused access to BUCKET_NAME=${settings.bucket}: ${failure.reason}: ${advice(failure.code)}`
  })
}

/** The SDK names the region as the location, except for us-east-1, where it must not be named. */
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
      return "check AWS_ACCESS_KEY, AWS_SECRET_KEY and whether they may use the bucket"
  }
}
