import { S3Client } from "@aws-sdk/client-s3"
import { Duration, Effect, Option, Redacted } from "effect"
import "../../addressAttempts.ts"
import { ArchiveStoreUnusable } from "../../domain/StartupError.ts"
import type { ArchiveStoreSettings } from "../../domain/StorageSettings.ts"
import { proxyAgent } from "../../proxies.ts"
import {
  clockSkew,
  isMended,
  isOfClock,
  isOfRegion,
  isRefusal,
  ofClock,
  ofRegion,
  type S3Failure,
  toFailure
} from "./errors.ts"

export type S3Settings = Extract<ArchiveStoreSettings, { readonly _tag: "S3" }>

/** Upper bounds on the waiting time of a request. */
export interface S3Timeouts {
  /** For a connection. */
  readonly connect: Duration.DurationInput
  /** Without a byte in either direction. */
  readonly idle: Duration.DurationInput
  /** For a request without a large body, and for the time a put takes besides its body. */
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

/**
 * Runs one request for at most `within`. What the SDK throws becomes a failure without secrets. A request that was refused
 * because this machine's clock is wrong, or because the bucket is in another region, is sent a second time with the server's
 * time, or to that region, unless its body cannot be resent.
 */
export type Send = <A>(
  request: (client: S3Client, options: { readonly abortSignal: AbortSignal }) => Promise<A>,
  options?: { readonly within?: Duration.DurationInput; readonly once?: boolean }
) => Effect.Effect<A, S3Failure>

/** The client, closed with the scope. Fails if no credentials are found. */
export const makeClient = (settings: S3Settings, timeouts: S3Timeouts) =>
  Effect.gen(function* () {
    const place = { region: settings.region }
    const agent = yield* proxyAgent({ keepAlive: true, maxSockets })
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => newClient(settings, place, timeouts, agent)),
      (open) => Effect.sync(() => open.destroy())
    )
    if (Option.isNone(settings.credentials)) yield* findCredentials(client, timeouts)
    const send: Send = (request, { once = false, within = timeouts.request } = {}) =>
      Effect.tryPromise({
        try: (abortSignal) => request(client, { abortSignal }),
        catch: (cause) => withoutSecrets(toFailure(cause), settings)
      }).pipe(
        Effect.timeoutFail({ duration: within, onTimeout: () => timedOut(within) }),
        withServersTime(client),
        inBucketsRegion(place, settings),
        Effect.retry({ times: once ? 0 : 1, while: isMended })
      )
    return send
  })

/** Removes secrets from a failure: some servers repeat the request in their error messages. */
const withoutSecrets = (failure: S3Failure, { credentials }: S3Settings): S3Failure => {
  const secrets = Option.match(credentials, {
    onNone: () => [],
    onSome: ({ secretAccessKey, sessionToken }) => [secretAccessKey, ...Option.toArray(sessionToken)]
  })
  return {
    ...failure,
    reason: secrets.reduce(
      (text, secret) => text.replaceAll(Redacted.value(secret), "<secret>"),
      failure.reason
    )
  }
}

/** Signs for the region in which the server reports the bucket to be, from then on. */
const inBucketsRegion =
  (place: { region: string }, { bucket }: S3Settings) =>
  <A>(request: Effect.Effect<A, S3Failure>): Effect.Effect<A, S3Failure> =>
    Effect.catchAll(request, (failure) => {
      const { region } = failure
      if (!isOfRegion(failure) || region === undefined || region === place.region) return Effect.fail(failure)
      const before = place.region
      place.region = region
      return Effect.zipRight(
        Effect.logWarning(
          `BUCKET_NAME=${bucket}: the bucket is in another region: AWS_REGION=${before} should be ${region}, which is used`
        ),
        Effect.fail(ofRegion(failure, region))
      )
    })

/** The clock difference, milliseconds, that is reported: the smallest that a server has been seen to refuse is larger. */
const notableSkew = 60_000

/**
 * The SDK signs with the time of the server's last answer, whatever that answer was. This reports by how much the clocks
 * differ, whenever that changes, and whether a refused request was signed with another time.
 */
const withServersTime =
  (client: S3Client) =>
  <A>(request: Effect.Effect<A, S3Failure>): Effect.Effect<A, S3Failure> =>
    Effect.suspend(() => {
      const before = client.config.systemClockOffset
      const hasChanged = () => Math.abs(client.config.systemClockOffset - before) >= notableSkew
      return request.pipe(
        Effect.mapError((failure) =>
          hasChanged() && (isRefusal(failure) || isOfClock(failure) || failure.status === 400)
            ? ofClock(failure, client.config.systemClockOffset)
            : failure
        ),
        Effect.ensuring(
          Effect.suspend(() => (hasChanged() ? tellOfClock(client.config.systemClockOffset) : Effect.void))
        )
      )
    })

const tellOfClock = (offset: number): Effect.Effect<void> =>
  Math.abs(offset) < notableSkew
    ? Effect.logInfo("system clock agrees with the S3 server again")
    : Effect.logWarning(
        `${clockSkew(offset)}: requests are signed with the server's time; set the clock of this machine`
      )

/** The failure of a request that took too long. */
export const timedOut = (within: Duration.DurationInput): S3Failure => ({
  status: undefined,
  code: "TimeoutError",
  reason: `no answer within ${Duration.format(Duration.decode(within))}`
})

/** The number of requests that `verify` has under way; the SDK's own limit is 50. */
const maxSockets = 64

const newClient = (
  { credentials, endpoint }: S3Settings,
  place: { readonly region: string },
  timeouts: S3Timeouts,
  agent: Effect.Effect.Success<ReturnType<typeof proxyAgent>>
): S3Client =>
  new S3Client({
    region: () => Promise.resolve(place.region),
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
    maxAttempts: 1, // a stream cannot be sent twice; the caller decides when to retry
    requestChecksumCalculation: "WHEN_REQUIRED", // other servers do not know aws-chunked bodies; put names its own checksum
    responseChecksumValidation: "WHEN_REQUIRED",
    expectContinueHeader: false, // a server that ignores it would cost seconds per request
    requestHandler: {
      connectionTimeout: Duration.toMillis(timeouts.connect),
      socketTimeout: Duration.toMillis(timeouts.idle),
      httpAgent: agent ?? { maxSockets },
      httpsAgent: agent ?? { maxSockets }
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
