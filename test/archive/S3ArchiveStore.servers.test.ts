import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutBucketPolicyCommand,
  type S3Client,
  UploadPartCommand
} from "@aws-sdk/client-s3"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Option, type Scope, Stream } from "effect"
import { ArchiveStore } from "../../src/archive/ArchiveStore.ts"
import * as S3ArchiveStore from "../../src/archive/S3ArchiveStore.ts"
import { archiveStoreSuite, bytesOf, localObject, sha256 } from "../suites/ArchiveStoreSuite.ts"
import { portableS3 } from "../support/portableS3.ts"
import { freshBucket, type S3Server, s3Missing, s3Settings, startS3 } from "../support/s3.ts"
import { clientOf } from "../support/s3Bucket.ts"
import { makeS3Proxy } from "../support/s3Proxy.ts"

archiveStoreSuite(
  "S3, s3rver",
  Layer.unwrapScoped(
    Effect.map(portableS3, (server) => S3ArchiveStore.layer(s3Settings(server, freshBucket("suite"))))
  ).pipe(Layer.provide(NodeContext.layer)),
  {
    verification: "s3rver has no checksums",
    races: "s3rver ignores If-None-Match",
    order: "s3rver lists folder by folder"
  }
)

const rgw = Effect.sync(startS3)

/** The keys of the uploads in parts that are begun and not finished. */
const unfinished = (client: S3Client, bucket: string) =>
  Effect.map(
    Effect.promise(() => client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))),
    ({ Uploads = [] }) => Uploads.map(({ Key }) => Key)
  )

const parts = { above: 6_000_000, size: 5 * 1024 ** 2 }

const large = (key: string, seed: number) =>
  localObject(key, Buffer.alloc(11_000_000, Buffer.from(`${seed} and so on, of no even length`)))

/** On a server in front of which `proxy` may stand. */
const largeObjects = (
  name: string,
  server: Effect.Effect<S3Server, never, Scope.Scope>,
  { listsUploads, proxied }: { readonly listsUploads: boolean; readonly proxied: boolean }
) =>
  describe(`large objects, ${name}`, () => {
    it.scopedLive("are sent in parts, become one object, and are compared as one", () =>
      Effect.gen(function* () {
        const to = yield* server
        const bucket = freshBucket("parts")
        yield* Effect.gen(function* () {
          const store = yield* ArchiveStore
          const object = yield* large("a/large.parquet", 1)
          yield* store.put(object)
          yield* store.put(object)
          expect(yield* store.head(object.key)).toEqual(
            Option.some({ key: object.key, size: object.size, sha256: Option.some(object.sha256) })
          )
          expect(sha256(yield* bytesOf(object.key))).toBe(object.sha256)
          const other = yield* large(object.key, 2)
          expect(yield* Effect.flip(store.put(other))).toMatchObject({ kind: "Conflict" })
          // who did not put it asks the server
          const asked = yield* Effect.flatMap(ArchiveStore, ({ head }) => head(object.key)).pipe(
            Effect.provide(S3ArchiveStore.layer(s3Settings(to, bucket)))
          )
          expect(asked).toEqual(yield* store.head(object.key))
        }).pipe(Effect.provide(S3ArchiveStore.layer(s3Settings(to, bucket), { parts })))
        const client = yield* clientOf(to)
        if (listsUploads) expect(yield* unfinished(client, bucket)).toEqual([])
      }).pipe(Effect.provide(NodeContext.layer))
    )

    it.scopedLive.skipIf(!listsUploads)("remove the parts that a killed process left, and nothing else", () =>
      Effect.gen(function* () {
        const to = yield* server
        const bucket = freshBucket("left")
        const client = yield* clientOf(to)
        yield* Effect.gen(function* () {
          const store = yield* ArchiveStore
          const object = yield* large("a/large.parquet", 1)
          for (const Key of [object.key, object.key, `${object.key}.of.another`, "b/another.parquet"]) {
            const { UploadId } = yield* Effect.promise(() =>
              client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }))
            )
            yield* Effect.promise(() =>
              client.send(
                new UploadPartCommand({
                  Bucket: bucket,
                  Key,
                  UploadId,
                  PartNumber: 1,
                  Body: "some",
                  ContentLength: 4
                })
              )
            )
          }
          yield* store.put(object)
          expect((yield* unfinished(client, bucket)).sort()).toEqual([
            `${object.key}.of.another`,
            "b/another.parquet"
          ])
        }).pipe(Effect.provide(S3ArchiveStore.layer(s3Settings(to, bucket), { parts })))
      }).pipe(Effect.provide(NodeContext.layer))
    )

    it.scopedLive.skipIf(!proxied)("leave no parts if an upload fails, and are sent once it succeeds", () =>
      Effect.gen(function* () {
        const to = yield* server
        const bucket = freshBucket("aborted")
        const proxy = yield* makeS3Proxy(to.endpoint)
        const client = yield* clientOf(to)
        yield* Effect.gen(function* () {
          const store = yield* ArchiveStore
          const object = yield* large("exchange=a/large.parquet", 1)
          // the first part, and three attempts at the second one
          yield* proxy.inject("PUT", { _tag: "FlipBit" })
          yield* proxy.inject("PUT", { _tag: "ResetRequest" })
          yield* proxy.inject("PUT", { _tag: "Status", status: 500 })
          expect(yield* Effect.flip(store.put(object))).toMatchObject({ kind: "Failed" })
          expect(yield* unfinished(client, bucket)).toEqual([])
          yield* store.put(object)
          expect(sha256(yield* bytesOf(object.key))).toBe(object.sha256)
          expect(yield* unfinished(client, bucket)).toEqual([])
        }).pipe(
          Effect.provide(
            S3ArchiveStore.layer(s3Settings({ ...to, endpoint: proxy.endpoint }, bucket), { parts })
          )
        )
      }).pipe(Effect.provide(NodeContext.layer))
    )
  })

largeObjects("s3rver", Effect.provide(portableS3, NodeContext.layer), { listsUploads: false, proxied: false })

describe.skipIf(s3Missing !== undefined)(
  `real server${s3Missing === undefined ? "" : ` (skipped: ${s3Missing})`}`,
  () => {
    archiveStoreSuite(
      "S3, Ceph RADOS Gateway",
      Layer.unwrapEffect(
        Effect.map(rgw, (server) => S3ArchiveStore.layer(s3Settings(server, freshBucket("suite"))))
      )
    )

    largeObjects("Ceph RADOS Gateway", rgw, { listsUploads: true, proxied: true })

    describe("S3ArchiveStore on Ceph RADOS Gateway", () => {
      it.scopedLive("stores into a bucket that can be written but not listed", () =>
        Effect.gen(function* () {
          const server = yield* rgw
          const bucket = freshBucket("unlisted")
          const client = yield* clientOf(server)
          yield* Effect.promise(() => client.send(new CreateBucketCommand({ Bucket: bucket })))
          yield* Effect.promise(() =>
            client.send(
              new PutBucketPolicyCommand({
                Bucket: bucket,
                Policy: JSON.stringify({
                  Version: "2012-10-17",
                  Statement: [
                    {
                      Effect: "Deny",
                      Principal: "*",
                      Action: "s3:ListBucket",
                      Resource: `arn:aws:s3:::${bucket}`
                    }
                  ]
                })
              })
            )
          )
          yield* Effect.gen(function* () {
            const store = yield* ArchiveStore
            const object = yield* localObject("a.parquet", Buffer.from("some bytes"))
            yield* store.put(object)
            yield* store.put(object)
            expect(yield* store.head(object.key)).toMatchObject({ value: { size: object.size } })
            expect(yield* Effect.flip(Stream.runDrain(store.list("")))).toMatchObject({
              reason: expect.stringContaining("s3:ListBucket")
            })
          }).pipe(Effect.provide(S3ArchiveStore.layer(s3Settings(server, bucket))))
        }).pipe(Effect.provide(NodeContext.layer))
      )

      it.scopedLive("lists more than one page", () =>
        Effect.gen(function* () {
          const server = yield* rgw
          const object = yield* localObject("x", Buffer.from("1"))
          const keys = Array.from({ length: 1005 }, (_, i) => `many/${String(i).padStart(4, "0")}`)
          const listed = yield* Effect.gen(function* () {
            const store = yield* ArchiveStore
            yield* Effect.forEach(keys, (key) => store.put({ ...object, key }), { concurrency: 16 })
            return Chunk.toReadonlyArray(yield* Stream.runCollect(store.list("many/")))
          }).pipe(Effect.provide(S3ArchiveStore.layer(s3Settings(server, freshBucket("pages")))))
          expect(listed.map(({ key }) => key)).toEqual(keys)
        }).pipe(Effect.provide(NodeContext.layer))
      )

      it.scopedLive("refuses a wrong secret and an unknown key at start-up", () =>
        Effect.gen(function* () {
          const server = yield* rgw
          const settings = s3Settings(server, freshBucket("refused"))
          for (const wrong of [
            { ...server, secret: "wrong" },
            { ...server, access: "NOBODY" }
          ]) {
            const error = yield* Effect.flip(
              Effect.scoped(Layer.build(S3ArchiveStore.layer(s3Settings(wrong, settings.bucket))))
            )
            expect(error._tag).toBe("ArchiveStoreUnusable")
            expect(error.message).toMatch(/HTTP 403.*AWS_(ACCESS|SECRET)_KEY/)
          }
        })
      )
    })
  }
)
