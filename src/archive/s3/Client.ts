import { S3Client } from "@aws-sdk/client-s3"
import { Duration, Effect, Option, Redacted } from "effect"
import "../../addressAttempts.ts"
import { ArchiveStoreUnusable } from "../../domain/StartupError.ts"
import type { ArchiveStoreSettings } from "../../domain/StorageSettings.ts"
import { type S3Failure, toFailure } from "./errors.ts"

export type S3Settings = Extract<ArchiveStoreSettings, { readonly _tag: "S3" }>

/** No request waits longer than these. */
export interface S3Timeouts {
  /** For a connection. */
  readonly connect: Duration.DurationInput
  /** Without a byte in either direction. */
  readonly idle: Duration.DurationInput
  /** For a request without a large body, and for what a put takes besides its body. */
  readonly request: Duration.DurationInput
  /** For the AWS provider chain to find credentials. */
  readonly credentials: Duration.DurationInput
}

export const defaultTimeouts: S3Timeouts = {
  connect: "5 seconds",
  idle: "30 seconds",
  request: "60 seconds",
  credentials: "5 seconds"
}

/** Runs one request, at most as long as `within`; what the SDK throws becomes a failure without secrets. */
export type Send = <A>(
  request: (client: S3Client, options: { readonly abortSignal: AbortSignal }) => Promise<A>,
  within?: Duration.DurationInput
) => Effect.Effect<A, S3Failure>

/** The client, closed with the scope. Fails if no credentials are found. */
export const makeClient = (settings: S3Settings, timeouts: S3Timeouts) =>
  Effect.gen(function* () {
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => newClient(settings, timeouts)),
      (open) => Effect.sync(() => open.destroy())
    )
    if (Option.isNone(settings.credentials)) yield* findCredentials(client, timeouts)
    const send: Send = (request, within = timeouts.request) =>
      Effect.tryPromise({ try: (abortSignal) => request(client, { abortSignal }), catch: toFailure }).pipe(
        Effect.timeoutFail({ duration: within, onTimeout: () => timedOut(within) })
      )
    return send
  })

/** What a request that took too long is known by. */
export const timedOut = (within: Duration.DurationInput): S3Failure => ({
  status: undefined,
  code: "TimeoutError",
  reason: `no answer within ${Duration.format(Duration.decode(within))}`
})

const newClient = ({ credentials, endpoint, region }: S3Settings, timeouts: S3Timeouts): S3Client =>
  new S3Client({
    region,
    ...(Option.isSome(endpoint) ? { endpoint: endpoint.value.href, forcePathStyle: true } : {}),
    ...(Option.isSome(credentials)
      ? {
          credentials: {
            accessKeyId: credentials.value.accessKeyId,
            secretAccessKey: Redacted.value(credentials.value.secretAccessKey),
            ...(Option.isSome(credentials.value.sessionToken)
              ? { sessionToken: Redacted.value(credentials.value.sessionToken.value) }
              : {})
          }
        }
      : {}),
    maxAttempts: 1, // a stream cannot be sent twice; the caller decides when to try again
    requestChecksumCalculation: "WHEN_REQUIRED", // other servers know no aws-chunked bodies; put names its own checksum
    responseChecksumValidation: "WHEN_REQUIRED",
    expectContinueHeader: false, // a server that ignores it would cost seconds a request
    requestHandler: {
      connectionTimeout: Duration.toMillis(timeouts.connect),
      socketTimeout: Duration.toMillis(timeouts.idle)
    },
    logger: silent
  })

const findCredentials = (
  client: S3Client,
  { credentials }: S3Timeouts
): Effect.Effect<void, ArchiveStoreUnusable> =>
  Effect.tryPromise({ try: () => client.config.credentials(), catch: () => noCredentials }).pipe(
    Effect.timeoutFail({ duration: credentials, onTimeout: () => noCredentials }),
    Effect.asVoid
  )

const noCredentials = new ArchiveStoreUnusable({
  reason:
    "ARCHIVE_STORE=s3: no credentials found: set AWS_ACCESS_KEY and AWS_SECRET_KEY, or give them to the AWS provider chain"
})

const silent = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore }

function ignore() {}
