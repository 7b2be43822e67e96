import { createHash, randomUUID } from "node:crypto"
import { createWriteStream } from "node:fs"
import { mkdir, rename, rm } from "node:fs/promises"
import { dirname } from "node:path"
import { Readable, Transform } from "node:stream"
import { pipeline } from "node:stream/promises"
import { Effect, type Scope } from "effect"
import S3rver, { type StoredObject } from "s3rver"
import { makeFolder } from "./process.ts"
import type { S3Server } from "./s3.ts"

/**
 * s3rver, which accepts the one key that it knows. By itself it shows what of an object has come so far, and leaves it when
 * the upload breaks off; here an object is there as a whole or not at all, as on S3.
 */
export const portableS3: Effect.Effect<S3Server, never, Scope.Scope> = Effect.gen(function* () {
  const directory = yield* makeFolder
  const { port } = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = new S3rver({ address: "127.0.0.1", port: 0, directory, silent: true })
      server.store.putObject = (object) => putWhole(server, object)
      const { port } = await server.run()
      return { server, port }
    }),
    ({ server }) => Effect.promise(() => server.close())
  )
  return {
    endpoint: `http://127.0.0.1:${port}`,
    access: "S3RVER",
    secret: "S3RVER",
    region: "us-east-1"
  }
})

const putWhole = async ({ store }: S3rver, { bucket, content, key, metadata }: StoredObject) => {
  const path = store.getResourcePath(bucket, key, "object")
  const part = `${path}.${randomUUID()}.part`
  const hash = createHash("md5")
  let size = 0
  const measure = new Transform({
    transform: (chunk: Buffer, _, done) => {
      size += chunk.length
      hash.update(chunk)
      done(null, chunk)
    }
  })
  await mkdir(dirname(path), { recursive: true })
  try {
    await pipeline(
      Buffer.isBuffer(content) ? Readable.from([content]) : content,
      measure,
      createWriteStream(part)
    )
    await rename(part, path)
  } finally {
    await rm(part, { force: true })
  }
  const md5 = hash.digest("hex")
  await store.putMetadata(bucket, key, metadata, md5)
  return { size, md5 }
}
