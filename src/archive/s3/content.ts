import { DeleteObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3"
import { type Duration, Effect, Option } from "effect"
import { probeKey } from "../../domain/Archive.ts"
import type { LocalObject } from "../ArchiveStore.ts"
import { fileDigest, sameDigest, sha256Hex, streamDigest } from "../digest.ts"
import type { Send } from "./Client.ts"
import { type S3Failure, toFailure } from "./errors.ts"
import { getObject } from "./objects.ts"
import { signBody } from "./payload.ts"

/**
 * Whether the server compares what it receives with what was signed: sends something that such a server must refuse. None if
 * the answer is inconclusive.
 */
export const checksContent = (send: Send, bucket: string): Effect.Effect<Option.Option<boolean>> =>
  send((client, options) =>
    client.send(
      signBody(
        new PutObjectCommand({ Bucket: bucket, Key: probeKey, Body: Buffer.from("probe") }),
        sha256Hex("another")
      ),
      options
    )
  ).pipe(
    Effect.zipRight(
      Effect.ignore(
        send((client, options) =>
          client.send(new DeleteObjectCommand({ Bucket: bucket, Key: probeKey }), options)
        )
      )
    ),
    Effect.as(Option.some(false)),
    Effect.catchAll((failure) =>
      Effect.succeed(isOfContent(failure) ? Option.some(true) : Option.none<boolean>())
    )
  )

/** Whether the server reports that the body is not what was signed or announced. */
export const isOfContent = ({ code, status }: S3Failure): boolean =>
  status === 400 && /sha256mismatch|digest/i.test(code)

/** How much of an object's end is compared if the server has checked its content, bytes. */
const tailSize = 4096

/**
 * Whether the stored object is the local one: compares all of its bytes, or, if the server has checked these against their
 * hash, only the last ones, since what HEAD reports is not always what can be read.
 */
export const isReadBack = (
  send: Send,
  bucket: string,
  object: LocalObject,
  options: { readonly whole: boolean; readonly idle: Duration.DurationInput }
): Effect.Effect<boolean, S3Failure> =>
  Effect.gen(function* () {
    const from = options.whole ? 0 : Math.max(0, object.size - tailSize)
    const expected =
      from === 0 ? object : yield* fileDigest(object.path, toFailure, { start: from, end: object.size - 1 })
    const found = yield* streamDigest(getObject(send, bucket, object.key, options.idle, from))
    // a server that does not support ranges sends all of it
    return [expected, object].some((content) => sameDigest(found, content))
  }).pipe(
    Effect.catchIf(
      ({ status }) => status === 404 || status === 416,
      () => Effect.succeed(false)
    )
  )
