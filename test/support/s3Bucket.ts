import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import {
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  S3Client
} from "@aws-sdk/client-s3"
import { Effect, type Scope } from "effect"
import type { Variables } from "./collector.ts"
import { portableS3 } from "./portableS3.ts"
import { freshBucket, type S3Server, s3Missing, startS3 } from "./s3.ts"

// The SDK announces on stderr that it will want a newer Node one day.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true"

/** Whether the tests' S3 server is only s3rver from npm: it accepts any secret and has no checksums. */
export const isPortable = s3Missing !== undefined

/** For the names of tests. */
export const s3ServerName = isPortable ? `s3rver, as a real one ${s3Missing}` : "Ceph RADOS Gateway"

/** A real server where there can be one, else the portable one. */
export const s3Server: Effect.Effect<S3Server, never, Scope.Scope> = Effect.suspend(() =>
  isPortable ? portableS3 : Effect.sync(startS3)
)

/** A bucket that nobody else has. The collector has to create it; it is deleted, with what is in it, with the scope. */
export interface Bucket {
  readonly name: string
  /** For the collector. `endpoint` replaces the server's. */
  readonly variables: (endpoint?: string) => Variables
  readonly keys: Effect.Effect<ReadonlyArray<string>>
  /** Copies all objects into a folder, under their keys. */
  readonly download: (folder: string) => Effect.Effect<void>
}

/** A client of the SDK, for the scope. */
export const clientOf = (server: S3Server) =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new S3Client({
          endpoint: server.endpoint,
          region: server.region,
          forcePathStyle: true,
          credentials: { accessKeyId: server.access, secretAccessKey: server.secret }
        })
    ),
    (client) => Effect.sync(() => client.destroy())
  )

export const makeBucket = (server: S3Server): Effect.Effect<Bucket, never, Scope.Scope> =>
  Effect.gen(function* () {
    const name = freshBucket("e2e")
    const client = yield* clientOf(server)
    const keys = Effect.gen(function* () {
      const found: Array<string> = []
      let token: string | undefined
      do {
        const page = yield* Effect.promise(() =>
          client.send(
            new ListObjectsV2Command({
              Bucket: name,
              ...(token === undefined ? {} : { ContinuationToken: token })
            })
          )
        )
        found.push(...(page.Contents ?? []).flatMap(({ Key }) => (Key === undefined ? [] : [Key])))
        token = page.NextContinuationToken
      } while (token !== undefined)
      return found
    })
    yield* Effect.addFinalizer(() =>
      keys.pipe(
        Effect.flatMap(
          Effect.forEach(
            (key) => Effect.promise(() => client.send(new DeleteObjectCommand({ Bucket: name, Key: key }))),
            { concurrency: 8, discard: true }
          )
        ),
        Effect.zipRight(Effect.promise(() => client.send(new DeleteBucketCommand({ Bucket: name })))),
        Effect.exit
      )
    )
    const downloadOne = (folder: string, key: string) =>
      Effect.promise(async () => {
        const path = NodePath.join(folder, key)
        const { Body } = await client.send(new GetObjectCommand({ Bucket: name, Key: key }))
        NodeFs.mkdirSync(NodePath.dirname(path), { recursive: true })
        NodeFs.writeFileSync(path, (await Body?.transformToByteArray()) ?? new Uint8Array())
      })
    return {
      name,
      variables: (endpoint = server.endpoint) => ({
        ARCHIVE_STORE: "s3",
        BUCKET_NAME: name,
        S3_ENDPOINT: endpoint,
        AWS_ACCESS_KEY: server.access,
        AWS_SECRET_KEY: server.secret,
        AWS_REGION: server.region
      }),
      keys,
      download: (folder) =>
        Effect.flatMap(
          keys,
          Effect.forEach((key) => downloadOne(folder, key), { concurrency: 8, discard: true })
        )
    }
  })
