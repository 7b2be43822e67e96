import { inspect } from "node:util"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Either, Fiber, Layer, Logger, Option, Redacted, Stream } from "effect"
import { ArchiveStore, type LocalObject } from "../../src/archive/ArchiveStore.ts"
import * as S3ArchiveStore from "../../src/archive/S3ArchiveStore.ts"
import { localObject } from "../suites/ArchiveStoreSuite.ts"
import {
  answering,
  type Behaviour,
  type FaultyS3,
  faultyS3,
  hanging,
  keeping,
  refusing,
  resettingAnswer,
  resettingRequest,
  stalling
} from "../support/faultyS3.ts"
import { openFilesBelow } from "../support/openFiles.ts"
import { pace } from "../support/pace.ts"
import { eventually } from "../support/process.ts"
import { freshBucket, type S3Server, s3Settings } from "../support/s3.ts"

const secret = "very-secret-very-secret-very-secret"
const token = "session-token-session-token"

const server = (faulty: Pick<FaultyS3, "endpoint">): S3Server => ({
  endpoint: faulty.endpoint,
  access: "ACCESSKEY",
  secret,
  region: "us-west-2"
})

const timeouts = {
  connect: Duration.millis(500 * pace),
  idle: Duration.millis(300 * pace),
  request: Duration.millis(600 * pace),
  credentials: Duration.seconds(2 * pace)
}

/** Runs with a store on a server of which the bucket is there, and which then answers as told. */
const onServer = <A, E, R>(
  answer: (method: string, before: number) => Behaviour,
  use: (store: typeof ArchiveStore.Service, faulty: FaultyS3) => Effect.Effect<A, E, R>,
  { probed, readOnly = false }: { readonly probed?: Behaviour; readonly readOnly?: boolean } = {}
) =>
  Effect.gen(function* () {
    const bucketHeads = readOnly ? 0 : 1
    const faulty = yield* faultyS3(
      (method, before) =>
        method === "HEAD" && before < bucketHeads
          ? answering(200)
          : answer(method, method === "HEAD" ? before - bucketHeads : before),
      probed
    )
    return yield* Effect.flatMap(ArchiveStore, (store) => use(store, faulty)).pipe(
      Effect.provide(S3ArchiveStore.layer(s3Settings(server(faulty), "bucket"), { ...timeouts, readOnly }))
    )
  })

const missing = answering(404)
const fine = answering(200)
const stored = (object: Pick<LocalObject, "size" | "sha256">) =>
  answering(200, { headers: { "content-length": String(object.size), "x-amz-meta-sha256": object.sha256 } })

const noOpenFile = (object: LocalObject) => expect(openFilesBelow(object.path)).toEqual([])

const small = localObject("a.parquet", Buffer.from("some bytes"))
const large = localObject("a.parquet", Buffer.alloc(20_000_000, 7))

describe("S3ArchiveStore with faults", () => {
  it.scopedLive("does not retry itself, reports 503 as temporary, and succeeds afterwards", () => {
    const kept = keeping()
    return onServer(
      (method, before) =>
        method === "HEAD" ? missing : method === "PUT" && before < 2 ? refusing(503, "SlowDown") : kept,
      (store, faulty) =>
        Effect.gen(function* () {
          const object = yield* small
          for (const _ of [1, 2]) {
            const error = yield* Effect.flip(store.put(object))
            expect(error).toMatchObject({
              operation: "put",
              key: "a.parquet",
              kind: "Failed",
              reason: "SlowDown (HTTP 503): no"
            })
          }
          yield* store.put(object)
          expect(faulty.requests.filter((request) => request.startsWith("PUT")).length).toBe(3)
          noOpenFile(object)
        })
    ).pipe(Effect.provide(NodeContext.layer))
  })

  const statuses: ReadonlyArray<readonly [number, string, "Failed" | "Refused"]> = [
    [400, "InvalidRequest", "Refused"],
    [400, "RequestTimeout", "Failed"],
    [401, "Unauthorized", "Refused"],
    [403, "AccessDenied", "Refused"],
    [404, "NoSuchBucket", "Failed"],
    [408, "RequestTimeout", "Failed"],
    [409, "ConditionalRequestConflict", "Failed"],
    [429, "TooManyRequests", "Failed"],
    [500, "InternalError", "Failed"],
    [503, "ServiceUnavailable", "Failed"]
  ]
  it.scopedLive.each(statuses)("a put answered with %s %s is %s", ([status, code, kind]) =>
    onServer(
      (method) => (method === "HEAD" ? missing : refusing(status, code)),
      (store) =>
        Effect.gen(function* () {
          const object = yield* small
          expect(yield* Effect.flip(store.put(object))).toMatchObject({
            kind,
            reason: expect.stringContaining(`${code} (HTTP ${status}): no`)
          })
          noOpenFile(object)
        })
    ).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("ends every request that hangs", () =>
    onServer(
      (method, before) => (method === "HEAD" && before === 0 ? missing : hanging),
      (store) =>
        Effect.gen(function* () {
          const object = yield* small
          const [took, error] = yield* Effect.timed(Effect.flip(store.put(object)))
          expect(error).toMatchObject({ kind: "Failed", operation: "put" })
          expect(Duration.toMillis(took)).toBeLessThan(3000 * pace)
          noOpenFile(object)
          expect(yield* Effect.flip(store.head("a"))).toMatchObject({ kind: "Failed", operation: "head" })
          expect(yield* Effect.flip(Stream.runDrain(store.get("a")))).toMatchObject({
            kind: "Failed",
            operation: "get"
          })
          expect(yield* Effect.flip(Stream.runDrain(store.list("a")))).toMatchObject({
            kind: "Failed",
            operation: "list"
          })
        })
    ).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("fails if an object's bytes stall or break off, or its upload does", () =>
    Effect.gen(function* () {
      for (const behaviour of [stalling, resettingAnswer]) {
        yield* onServer(
          () => behaviour,
          (store) =>
            Effect.gen(function* () {
              expect(yield* Effect.flip(Stream.runDrain(store.get("a")))).toMatchObject({
                kind: "Failed",
                operation: "get"
              })
            })
        )
      }
      yield* onServer(
        (method) => (method === "HEAD" ? missing : resettingRequest),
        (store) =>
          Effect.gen(function* () {
            const object = yield* large
            expect(yield* Effect.flip(store.put(object))).toMatchObject({ kind: "Failed", operation: "put" })
            noOpenFile(object)
          })
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("sees on 412 whether the object is its own", () =>
    Effect.gen(function* () {
      const object = yield* small
      const heads: ReadonlyArray<readonly [Behaviour, "Right" | "Conflict" | "Failed"]> = [
        [stored(object), "Right"],
        [stored({ ...object, sha256: "0".repeat(64) }), "Conflict"],
        [stored({ size: 9, sha256: "0".repeat(64) }), "Conflict"],
        [answering(200, { headers: { "content-length": String(object.size) } }), "Right"],
        [answering(200, { headers: { "content-length": "9" } }), "Conflict"],
        [missing, "Failed"],
        [answering(500), "Failed"]
      ]
      const content = answering(200, { body: "some bytes" })
      for (const [head, expected] of heads) {
        yield* onServer(
          (method, before) =>
            method === "PUT"
              ? refusing(412, "PreconditionFailed")
              : method === "GET"
                ? content
                : before === 0
                  ? missing
                  : head,
          (store) =>
            Effect.gen(function* () {
              const result = yield* Effect.either(store.put(object))
              expect(Either.match(result, { onRight: () => "Right", onLeft: (error) => error.kind })).toBe(
                expected
              )
            })
        )
        noOpenFile(object)
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("puts without If-None-Match if the server does not support it", () =>
    Effect.gen(function* () {
      const answers: ReadonlyArray<Behaviour> = [
        refusing(501, "NotImplemented"),
        refusing(400, "NotImplemented")
      ]
      for (const answer of answers) {
        const conditions: Array<string | undefined> = []
        const kept = keeping()
        yield* onServer(
          (method) => (request, response) => {
            if (method === "HEAD") return missing(request, response)
            if (method === "GET") return kept(request, response)
            const condition = request.headers["if-none-match"]
            conditions.push(condition)
            return (condition === undefined ? kept : answer)(request, response)
          },
          (store) =>
            Effect.gen(function* () {
              const object = yield* small
              yield* store.put(object)
              yield* store.put(object)
              noOpenFile(object)
            })
        )
        expect(conditions).toEqual(["*", undefined, undefined])
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("puts without checksum headers if the server refuses them, and tries only once", () =>
    Effect.gen(function* () {
      /** As Backblaze B2 answers; a server that has no such words gives none. */
      const words = (name: string) =>
        answering(400, {
          body: `<Error><Code>InvalidArgument</Code><Message>Unsupported header '${name}' received for this API call.</Message></Error>`
        })
      for (const answer of [words, () => answering(400), () => refusing(501, "NotImplemented")]) {
        const seen: Array<string> = []
        const kept = keeping()
        yield* onServer(
          () => (request, response) => {
            const name = Object.keys(request.headers).find((header) => /checksum/.test(header))
            seen.push(`${request.method} ${name === undefined ? "plain" : "checksum"}`)
            return (name === undefined ? kept : answer(name))(request, response)
          },
          (store) =>
            Effect.gen(function* () {
              const object = yield* small
              yield* store.put({ ...object, key: `${seen.length}.parquet` })
              seen.length = 0
              yield* store.put({ ...object, key: "b.parquet" })
              expect(yield* store.head("b.parquet")).toMatchObject({
                value: { size: object.size, sha256: Option.some(object.sha256) }
              })
              noOpenFile(object)
            })
        )
        expect(seen).toEqual(["HEAD plain", "PUT plain", "GET plain", "HEAD plain"])
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  const flipped = (body: Buffer) => {
    const damaged = Buffer.from(body)
    damaged[0] = (damaged[0] ?? 0) ^ 1
    return damaged
  }

  it.scopedLive("reads content back from a server that verifies nothing", () =>
    Effect.gen(function* () {
      let damage: (body: Buffer) => Buffer = flipped
      const kept = keeping((body) => damage(body))
      let probes = 0
      const probed: Behaviour = (request, response) => {
        if (request.method === "PUT") probes++
        return kept(request, response)
      }
      yield* onServer(
        () => kept,
        (store) =>
          Effect.gen(function* () {
            const object = yield* localObject("a.parquet", Buffer.alloc(100_000, 7))
            for (const _ of [1, 2]) {
              expect(yield* Effect.flip(store.put(object))).toMatchObject({
                kind: "Failed",
                reason: expect.stringContaining("not what was sent")
              })
            }
            // who did not put it is not told the hash that lies beside it either
            const told = Option.flatMap(yield* store.head(object.key), ({ sha256 }) => sha256)
            expect(Option.isSome(told) && told.value !== object.sha256).toBe(true)
            damage = (body) => body
            yield* store.put(object)
            expect(yield* store.head(object.key)).toEqual(
              Option.some({ key: object.key, size: object.size, sha256: Option.some(object.sha256) })
            )
            noOpenFile(object)
          }),
        { probed }
      )
      expect(probes).toBe(1)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("retries bytes that changed on the way, but not a file that has changed", () =>
    onServer(
      (method) => (method === "HEAD" ? missing : refusing(400, "BadDigest")),
      (store) =>
        Effect.gen(function* () {
          const object = yield* small
          expect(yield* Effect.flip(store.put(object))).toMatchObject({
            kind: "Failed",
            reason: "its bytes changed on the way: BadDigest (HTTP 400): no"
          })
          expect(yield* Effect.flip(store.put({ ...object, sha256: "0".repeat(64) }))).toMatchObject({
            kind: "Refused"
          })
        })
    ).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("trusts neither HEAD nor the answer to a put if nothing can be read", () =>
    Effect.gen(function* () {
      const object = yield* small
      for (const get of [missing, answering(200, { body: "some" }), answering(200, { body: "more bytes" })]) {
        let puts = 0
        yield* onServer(
          (method, before) => {
            if (method === "PUT") puts++
            return method === "GET" ? get : method === "PUT" ? fine : before === 0 ? missing : stored(object)
          },
          (store) =>
            Effect.gen(function* () {
              for (const _ of [1, 2]) {
                expect(yield* Effect.flip(store.put(object))).toMatchObject({ kind: "Failed" })
              }
            })
        )
        expect(puts).toBe(2)
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("sends a plain body with length, checksum and hash", () =>
    Effect.gen(function* () {
      const object = yield* small
      let headers: NodeJS.Dict<string | string[]> = {}
      const kept = keeping()
      yield* onServer(
        (method) => (request, response) => {
          if (method === "PUT") headers = request.headers
          return kept(request, response)
        },
        (store) => store.put(object)
      )
      expect(headers).toMatchObject({
        "content-length": String(object.size),
        "x-amz-content-sha256": object.sha256,
        "x-amz-checksum-sha256": Buffer.from(object.sha256, "hex").toString("base64"),
        "x-amz-meta-sha256": object.sha256,
        "if-none-match": "*"
      })
      expect(headers.authorization).toMatch(/SignedHeaders=[^,]*x-amz-content-sha256/)
      expect(headers["transfer-encoding"]).toBeUndefined()
      expect(headers["content-encoding"]).toBeUndefined()
      expect(headers.expect).toBeUndefined()
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("reads the hash from the checksum or the metadata, not from the checksum of parts", () =>
    Effect.gen(function* () {
      const hex = "ab".repeat(32)
      const base64 = Buffer.from(hex, "hex").toString("base64")
      const cases: ReadonlyArray<readonly [Record<string, string>, Option.Option<string>]> = [
        [{ "x-amz-checksum-sha256": base64, "x-amz-meta-sha256": "0".repeat(64) }, Option.some(hex)],
        [{ "x-amz-meta-sha256": hex }, Option.some(hex)],
        [{ "x-amz-checksum-sha256": `${base64}-4`, "x-amz-meta-sha256": hex }, Option.some(hex)],
        [{ "x-amz-checksum-sha256": `${base64}-4` }, Option.none()],
        [{ "x-amz-meta-sha256": "not a hash" }, Option.none()],
        [{}, Option.none()]
      ]
      for (const [headers, sha256] of cases) {
        const head = yield* onServer(
          () => answering(200, { headers: { ...headers, "content-length": "12" } }),
          (store) => store.head("a"),
          { readOnly: true }
        )
        expect(head).toEqual(Option.some({ key: "a", size: 12, sha256 }))
      }
    })
  )

  it.scopedLive("closes file and connection when it is interrupted", () =>
    onServer(
      (method) => (method === "HEAD" ? missing : hanging),
      (store, faulty) =>
        Effect.gen(function* () {
          const object = yield* large
          const fiber = yield* Effect.fork(store.put(object))
          yield* eventually(
            "the upload",
            Effect.sync(() => faulty.requests.at(-1)?.includes("PUT") === true)
          )
          yield* Fiber.interrupt(fiber)
          noOpenFile(object)
        })
    ).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("does not send what S3 does not accept", () =>
    onServer(
      () => missing,
      (store, faulty) =>
        Effect.gen(function* () {
          const object = yield* small
          const error = yield* Effect.flip(store.put({ ...object, size: 6 * 1024 ** 4 }))
          expect(error).toMatchObject({ kind: "Refused" })
          expect(error.reason).toContain("more than S3 takes")
          expect(faulty.requests.length).toBe(1)
        })
    ).pipe(Effect.provide(NodeContext.layer))
  )
})

describe("S3ArchiveStore at start-up", () => {
  const build = (endpoint: string, changes: Parameters<typeof s3Settings>[2] = {}) =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => lines.push(inspect(message)))
      const result = yield* Effect.either(
        Effect.flatMap(ArchiveStore, Effect.succeed).pipe(
          Effect.provide(
            Layer.provide(
              S3ArchiveStore.layer(s3Settings(server({ endpoint }), "bucket", changes), timeouts),
              Logger.replace(Logger.defaultLogger, logger)
            )
          )
        )
      )
      const said = [
        ...lines,
        ...(Either.isLeft(result) ? [inspect(result.left, { depth: 9, showHidden: true })] : [])
      ]
      expect(said.join("\n")).not.toContain(secret)
      expect(said.join("\n")).not.toContain(token)
      return { result, lines }
    })

  it.scopedLive("creates a missing bucket", () =>
    Effect.gen(function* () {
      const bodies: Array<string> = []
      const faulty = yield* faultyS3((method) =>
        method === "HEAD"
          ? missing
          : (request, response) => {
              request.on("data", (chunk: Buffer) => bodies.push(chunk.toString()))
              return fine(request, response)
            }
      )
      for (const region of ["us-west-2", "us-east-1"]) {
        const { lines, result } = yield* build(faulty.endpoint, { region })
        expect(Either.isRight(result)).toBe(true)
        expect(lines).toEqual([])
      }
      expect(faulty.requests).toEqual(["HEAD /bucket/", "PUT /bucket/", "HEAD /bucket/", "PUT /bucket/"])
      expect(bodies.join("")).toContain("<LocationConstraint>us-west-2</LocationConstraint>")
      expect(bodies.join("").match(/LocationConstraint>/g)?.length).toBe(2)
    })
  )

  const refusals: ReadonlyArray<readonly [string, (method: string) => Behaviour, string]> = [
    ["HEAD answered 403", () => answering(403), "AWS_ACCESS_KEY, AWS_SECRET_KEY"],
    ["HEAD answered 401", () => answering(401), "AWS_ACCESS_KEY, AWS_SECRET_KEY"],
    [
      "an unknown key",
      (method) => (method === "HEAD" ? missing : refusing(403, "InvalidAccessKeyId")),
      "AWS_ACCESS_KEY"
    ],
    [
      "a wrong secret",
      (method) => (method === "HEAD" ? missing : refusing(403, "SignatureDoesNotMatch")),
      "AWS_SECRET_KEY"
    ]
  ]
  it.scopedLive.each(refusals)("fails on %s, naming the settings", ([, answer, names]) =>
    Effect.gen(function* () {
      const faulty = yield* faultyS3(answer)
      const { result } = yield* build(faulty.endpoint)
      const error = yield* Effect.flip(result)
      expect(error._tag).toBe("ArchiveStoreUnusable")
      expect(error.message).toContain(names)
      expect(error.message).toContain("BUCKET_NAME=bucket")
      expect(error.message).toContain(`S3_ENDPOINT=${faulty.endpoint}`)
      expect(error.message).not.toContain("\n")
    })
  )

  /** A server on which the credentials may do what `may` says, in the words of AWS. */
  const limited = (may: (what: "list" | "read" | "write") => boolean) => {
    // as S3 does for who may not list: what is not there is forbidden
    const kept = keeping((body) => body, may("list") ? 404 : 403)
    const denied = (what: string): Behaviour =>
      answering(403, {
        body: `<Error><Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/x is not authorized
          to perform: ${what} because no policy allows it</Message></Error>`
      })
    const needed = (method: string, path: string) =>
      path === "/bucket/" ? "list" : method === "PUT" ? "write" : "read"
    const answer: Behaviour = (request, response) => {
      const path = String(request.url).replace(/\?.*/, "")
      const what = needed(String(request.method), path)
      if (!may(what)) return denied(`s3:${what}`)(request, response)
      if (path === "/bucket/") return answering(200, { body: "<ListBucketResult/>" })(request, response)
      return kept(request, response)
    }
    const probed: Behaviour = (request, response) =>
      (may("write") ? refusing(400, "XAmzContentSHA256Mismatch") : denied("s3:write"))(request, response)
    return faultyS3(() => answer, probed)
  }

  it.scopedLive("accepts a bucket that can be written but not listed, and names the missing permission", () =>
    Effect.gen(function* () {
      const faulty = yield* limited((what) => what !== "list")
      const { lines, result } = yield* build(faulty.endpoint)
      expect(lines).toEqual([
        expect.stringMatching(
          /no permission to list the bucket \(s3:ListBucket\).*not authorized to perform: s3:list because/
        )
      ])
      const object = yield* small
      yield* Effect.flatMap(ArchiveStore, (store) =>
        Effect.gen(function* () {
          expect(yield* store.head(object.key)).toEqual(Option.none())
          yield* store.put(object)
          yield* store.put(object)
          expect(yield* store.head(object.key)).toMatchObject({ value: { size: object.size } })
          expect(yield* Effect.flip(Stream.runDrain(store.list("")))).toMatchObject({
            kind: "Refused",
            reason: expect.stringContaining("s3:ListBucket")
          })
        })
      ).pipe(Effect.provide(S3ArchiveStore.layer(s3Settings(server(faulty), "bucket"), timeouts)))
      expect(Either.isRight(result)).toBe(true)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("reports that stored objects cannot be read", () =>
    Effect.gen(function* () {
      for (const mayList of [true, false]) {
        const faulty = yield* limited((what) => what === "write" || (what === "list" && mayList))
        const object = yield* small
        const error = yield* Effect.flatMap(ArchiveStore, (store) => Effect.flip(store.put(object))).pipe(
          Effect.provide(S3ArchiveStore.layer(s3Settings(server(faulty), "bucket"), timeouts))
        )
        expect(error).toMatchObject({ kind: "Refused", reason: expect.stringContaining("s3:GetObject") })
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("ends the start if the bucket can neither be listed nor written, in the server's words", () =>
    Effect.gen(function* () {
      const faulty = yield* limited((what) => what === "read")
      const error = yield* Effect.flip((yield* build(faulty.endpoint)).result)
      expect(error.message).toMatch(
        /AccessDenied \(HTTP 403\): User: .*not authorized to perform: s3:list because/
      )
      expect(error.message).toContain("s3:PutObject")
      expect(error.message).not.toContain("\n")
    })
  )

  it.scopedLive("uses the region that the server names, and logs it", () =>
    Effect.gen(function* () {
      const redirections: ReadonlyArray<Behaviour> = [
        answering(301, { headers: { "x-amz-bucket-region": "eu-central-1" } }),
        answering(400, { headers: { "x-amz-bucket-region": "eu-central-1" } })
      ]
      for (const redirection of redirections) {
        const kept = keeping()
        const regions: Array<string> = []
        const faulty = yield* faultyS3(() => (request, response) => {
          const [, region = ""] =
            /Credential=[^/]+\/\d+\/([^/]+)\//.exec(String(request.headers.authorization)) ?? []
          regions.push(region)
          if (region !== "eu-central-1") return redirection(request, response)
          return (request.url === "/bucket/" ? fine : kept)(request, response)
        })
        const { lines, result } = yield* build(faulty.endpoint)
        expect(Either.isRight(result)).toBe(true)
        expect(lines).toEqual([expect.stringMatching(/AWS_REGION=us-west-2 should be eu-central-1/)])
        expect(regions).toEqual(["us-west-2", "eu-central-1"])
        const object = yield* small
        yield* Effect.flatMap(ArchiveStore, (store) => store.put(object)).pipe(
          Effect.provide(S3ArchiveStore.layer(s3Settings(server(faulty), "bucket"), timeouts))
        )
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("finds the region when a put is redirected, and logs the message and the endpoint", () =>
    Effect.gen(function* () {
      const kept = keeping()
      const body = (region: string) => `<Error><Code>PermanentRedirect</Code><Message>The bucket you are
        attempting to access must be addressed using the specified endpoint.</Message>
        <Endpoint>bucket.s3-eu-west-3.example</Endpoint>${region}</Error>`
      for (const region of ["<Region>eu-west-3</Region>", ""]) {
        yield* onServer(
          (method) => (request, response) =>
            method === "PUT" && !String(request.headers.authorization).includes("/eu-west-3/")
              ? answering(301, { body: body(region) })(request, response)
              : kept(request, response),
          (store) =>
            Effect.gen(function* () {
              const object = { ...(yield* small), key: `${region.length}.parquet` }
              const error = yield* Effect.flip(store.put(object))
              expect(error.kind).toBe(region === "" ? "Refused" : "Failed")
              expect(error.reason).toContain("must be addressed using the specified endpoint")
              expect(error.reason).toContain("bucket.s3-eu-west-3.example")
              if (region !== "") yield* store.put(object)
            })
        )
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("repeats no secret that a server repeats", () =>
    Effect.gen(function* () {
      const faulty = yield* faultyS3(() =>
        answering(403, {
          body: `<Error><Code>InvalidToken</Code><Message>${secret} and ${token} and ${"x".repeat(5000)}</Message></Error>`
        })
      )
      const { result } = yield* build(faulty.endpoint, {
        credentials: Option.some({
          accessKeyId: "ACCESSKEY",
          secretAccessKey: Redacted.make(secret),
          sessionToken: Option.some(Redacted.make(token))
        })
      })
      const error = yield* Effect.flip(result)
      expect(error.message).toContain("InvalidToken (HTTP 403): <secret> and <secret>")
      expect(error.message.length).toBeLessThan(1000)
    })
  )

  const setbacks: ReadonlyArray<readonly [string, (method: string) => Behaviour]> = [
    ["a server that fails", () => answering(500)],
    ["a server that hangs", () => hanging],
    [
      "a bucket that cannot be created",
      (method) => (method === "HEAD" ? missing : refusing(400, "InvalidLocationConstraint"))
    ],
    [
      "a bucket of somebody else",
      (method) => (method === "HEAD" ? missing : refusing(409, "BucketAlreadyExists"))
    ]
  ]
  it.scopedLive.each(setbacks)("warns of %s and goes on", ([, answer]) =>
    Effect.gen(function* () {
      const faulty = yield* faultyS3(answer)
      const { lines, result } = yield* build(faulty.endpoint)
      expect(Either.isRight(result)).toBe(true)
      expect(lines.length).toBe(1)
      expect(lines[0]).toContain("BUCKET_NAME=bucket")
    })
  )

  it.scopedLive("warns about an unreachable server, and looks for the bucket again at the next put", () =>
    Effect.gen(function* () {
      const object = yield* small
      const { lines, result } = yield* build("http://127.0.0.1:1")
      expect(lines[0]).toContain("ECONNREFUSED")
      const store = yield* result
      expect(yield* Effect.flip(store.put(object))).toMatchObject({ kind: "Failed" })
      noOpenFile(object)

      const kept = keeping()
      const faulty = yield* faultyS3((method, before) =>
        method === "HEAD" ? (before === 0 ? answering(503) : missing) : kept
      )
      yield* Effect.flatMap(ArchiveStore, (store) => store.put(object)).pipe(
        Effect.provide(
          Layer.provide(
            S3ArchiveStore.layer(s3Settings(server(faulty), "bucket"), timeouts),
            Logger.remove(Logger.defaultLogger)
          )
        )
      )
      expect(faulty.requests).toEqual([
        "HEAD /bucket/",
        "HEAD /bucket/",
        "PUT /bucket/",
        "HEAD /bucket/a.parquet",
        "PUT /bucket/a.parquet?x-id=PutObject",
        "GET /bucket/a.parquet?x-id=GetObject"
      ])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("names the settings to give if there are no credentials", () =>
    withEnvironment(
      {
        AWS_ACCESS_KEY_ID: undefined,
        AWS_SECRET_ACCESS_KEY: undefined,
        AWS_PROFILE: undefined,
        AWS_CONFIG_FILE: "/nonexistent",
        AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
        AWS_EC2_METADATA_DISABLED: undefined,
        AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1"
      },
      Effect.gen(function* () {
        const [took, { result }] = yield* Effect.timed(
          build("http://127.0.0.1:1", { credentials: Option.none() })
        )
        const error = yield* Effect.flip(result)
        expect(error.message).toContain("AWS_ACCESS_KEY and AWS_SECRET_KEY")
        expect(Duration.toMillis(took)).toBeLessThan(4000 * pace)
      })
    )
  )

  it.scopedLive("finds credentials in the provider chain", () =>
    withEnvironment(
      { AWS_ACCESS_KEY_ID: "FROMENV", AWS_SECRET_ACCESS_KEY: secret },
      Effect.gen(function* () {
        const seen: Array<string> = []
        const faulty = yield* faultyS3(() => (request, response) => {
          seen.push(request.headers.authorization ?? "")
          return fine(request, response)
        })
        const { result } = yield* build(faulty.endpoint, { credentials: Option.none() })
        expect(Either.isRight(result)).toBe(true)
        expect(seen[0]).toContain("Credential=FROMENV/")
      })
    )
  )

  it.scopedLive("sends the session token and shows it to nobody", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const faulty = yield* faultyS3(() => (request, response) => {
        seen.push(request.headers["x-amz-security-token"])
        return answering(403)(request, response)
      })
      yield* build(faulty.endpoint, {
        credentials: Option.some({
          accessKeyId: "ACCESSKEY",
          secretAccessKey: Redacted.make(secret),
          sessionToken: Option.some(Redacted.make(token))
        })
      })
      expect(new Set(seen)).toEqual(new Set([token]))
    })
  )

  it.scopedLive("keeps secrets out of the errors of requests", () =>
    onServer(
      () => refusing(403, "SignatureDoesNotMatch"),
      (store) =>
        Effect.gen(function* () {
          const object = yield* small
          const error = yield* Effect.flip(store.put(object))
          const shown = inspect(error, { depth: 20, showHidden: true })
          expect(shown).not.toContain(secret)
          expect(shown).not.toContain("AWS4-HMAC-SHA256")
        })
    ).pipe(Effect.provide(NodeContext.layer))
  )

  it("gives every test a bucket of its own", () => {
    expect(freshBucket("a")).not.toBe(freshBucket("a"))
  })
})

/** A server whose clock differs from ours by `skew`, ms, as AWS answers: it refuses what is signed 15 minutes off. */
const otherClock = (clock: { skew: number }, refusal: Behaviour = refusing(403, "RequestTimeTooSkewed")) => {
  const kept = keeping()
  const rightly =
    (answer: Behaviour): Behaviour =>
    (request, response) => {
      const now = Date.now() + clock.skew
      response.setHeader("date", new Date(now).toUTCString())
      const [, date = "", time = ""] = /^(\d{8})T(\d{6})Z$/.exec(String(request.headers["x-amz-date"])) ?? []
      const signed = Date.parse(
        `${date.replace(/(....)(..)(..)/, "$1-$2-$3")}T${time.replace(/(..)(..)(..)/, "$1:$2:$3")}Z`
      )
      if (!(Math.abs(signed - now) < 900_000)) return refusal(request, response)
      if (!String(request.headers.authorization).includes("Credential=ACCESSKEY/"))
        return refusing(403, "InvalidAccessKeyId")(request, response)
      return answer(request, response)
    }
  return faultyS3(
    () => rightly((request, response) => (request.url === "/bucket/" ? fine : kept)(request, response)),
    rightly(refusing(400, "XAmzContentSHA256Mismatch"))
  )
}

describe("S3ArchiveStore with a wrong clock", () => {
  const hours = 3_600_000
  const told: Array<string> = []
  const logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message }) => told.push(inspect(message)))
  )
  const skews: ReadonlyArray<readonly [string, number, Behaviour, RegExp]> = [
    [
      "behind",
      1.2 * hours,
      refusing(403, "RequestTimeTooSkewed"),
      /clock is 1h 1[12]m.* behind the S3 server's/
    ],
    ["ahead", -26 * hours, refusing(403, "AccessDenied"), /clock is 1d 2h.* ahead of the S3 server's/],
    ["years behind", 9e4 * hours, answering(400), /clock is 3750d.* behind the S3 server's/],
    ["behind, refused in other words", 3 * hours, answering(403), /clock is 3h.* behind the S3 server's/]
  ]
  it.scopedLive.each(skews)("%s, signs with the server's time and says so", ([, skew, refusal, words]) =>
    Effect.gen(function* () {
      told.length = 0
      const clock = { skew: skew + 20_000 * Math.sign(skew) }
      const faulty = yield* otherClock(clock, refusal)
      yield* Effect.gen(function* () {
        const store = yield* ArchiveStore
        const object = yield* small
        yield* store.put(object)
        expect(yield* store.head(object.key)).toMatchObject({ value: { size: object.size } })
        expect(told).toEqual([expect.stringMatching(words)])
        expect(told[0]).toMatch(/set the clock/)

        // it is set while the collector runs: the next put fails once, and not for good
        clock.skew = 0
        const next = { ...object, key: "b.parquet" }
        yield* Effect.retry(store.put(next), { times: 1, while: ({ kind }) => kind === "Failed" })
        expect(yield* store.head(next.key)).toMatchObject({ value: { size: object.size } })
        expect(told[1]).toMatch(/agrees/)
      }).pipe(
        Effect.provide(
          Layer.provideMerge(S3ArchiveStore.layer(s3Settings(server(faulty), "bucket"), timeouts), logger)
        )
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("still ends the start for a wrong key, without blaming the clock", () =>
    Effect.gen(function* () {
      const faulty = yield* otherClock({ skew: 2 * hours })
      const settings = s3Settings({ ...server(faulty), access: "OTHERKEY" }, "bucket")
      const error = yield* Effect.flip(
        Layer.build(Layer.provide(S3ArchiveStore.layer(settings, timeouts), logger))
      )
      expect(error.message).toContain("AWS_ACCESS_KEY")
      expect(error.message).not.toContain("clock")
    })
  )

  it.scopedLive("does not end the start if the server says the clock is wrong but not the time", () =>
    Effect.gen(function* () {
      told.length = 0
      const faulty = yield* faultyS3((method) => (request, response) => {
        response.sendDate = false
        return (method === "HEAD" ? missing : refusing(403, "RequestTimeTooSkewed"))(request, response)
      })
      yield* Layer.build(
        Layer.provide(S3ArchiveStore.layer(s3Settings(server(faulty), "bucket"), timeouts), logger)
      )
      expect(told).toEqual([expect.stringContaining("RequestTimeTooSkewed")])
    })
  )
})

/** Environment variables for the time of an effect. */
const withEnvironment = <A, E, R>(
  variables: Readonly<Record<string, string | undefined>>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const set = (values: Readonly<Record<string, string | undefined>>) => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
  return Effect.acquireUseRelease(
    Effect.sync(() => {
      const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]))
      set(variables)
      return before
    }),
    () => effect,
    (before) => Effect.sync(() => set(before))
  )
}
