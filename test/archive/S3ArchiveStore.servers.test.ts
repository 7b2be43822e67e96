import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Stream } from "effect"
import { ArchiveStore } from "../../src/archive/ArchiveStore.ts"
import * as S3ArchiveStore from "../../src/archive/S3ArchiveStore.ts"
import { archiveStoreSuite, localObject } from "../suites/ArchiveStoreSuite.ts"
import { portableS3 } from "../support/portableS3.ts"
import { freshBucket, s3Missing, s3Settings, startS3 } from "../support/s3.ts"

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

describe.skipIf(s3Missing !== undefined)(
  `real server${s3Missing === undefined ? "" : ` (skipped: ${s3Missing})`}`,
  () => {
    archiveStoreSuite(
      "S3, Ceph RADOS Gateway",
      Layer.unwrapEffect(
        Effect.map(rgw, (server) => S3ArchiveStore.layer(s3Settings(server, freshBucket("suite"))))
      )
    )

    describe("S3ArchiveStore on Ceph RADOS Gateway", () => {
      it.scopedLive("goes through more than one page of a list", () =>
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

      it.scopedLive("is told the wrong secret and the unknown key at start-up", () =>
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
