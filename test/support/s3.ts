import { execFileSync } from "node:child_process"
import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { Option, Redacted } from "effect"
import type { ArchiveStoreSettings } from "../../src/domain/StorageSettings.ts"

/** A real S3 server for tests. */
export interface S3Server {
  readonly endpoint: string
  readonly access: string
  readonly secret: string
  readonly region: string
}

/** Why there is no real S3 server here, or undefined where there can be one. */
export const s3Missing: string | undefined =
  process.getuid?.() !== 0
    ? "needs root"
    : process.env.S3_TEST_SERVER === "rgw" || (process.env.CI ?? "") !== ""
      ? undefined
      : "needs S3_TEST_SERVER=rgw or CI"

/**
 * Starts Ceph's RADOS Gateway on a port of S3_TEST_PORT (9700 by default), or finds it running; installs it where it is
 * missing, which takes a minute. It is shared by all tests and left running (test/tools/stop-s3.sh stops it): use
 * buckets of your own.
 */
export const startS3 = (): S3Server => {
  const script = NodePath.resolve(import.meta.dirname, "../tools/start-s3.sh")
  NodeFs.accessSync(script, NodeFs.constants.X_OK)
  const output = execFileSync(script, [process.env.S3_TEST_PORT ?? "9700"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 280_000
  })
  const lines = new Map(
    output.split("\n").map((line) => {
      const at = line.indexOf("=")
      return [line.slice(0, at), line.slice(at + 1)] as const
    })
  )
  const line = (name: string) => {
    const value = lines.get(name)
    if (value === undefined) throw new Error(`start-s3.sh did not print ${name}=`)
    return value
  }
  return {
    endpoint: line("endpoint"),
    access: line("access"),
    secret: line("secret"),
    region: line("region")
  }
}

/** Settings for a server and a bucket; `changes` replaces some of them. */
export const s3Settings = (
  server: S3Server,
  bucket: string,
  changes: Partial<Extract<ArchiveStoreSettings, { readonly _tag: "S3" }>> = {}
): Extract<ArchiveStoreSettings, { readonly _tag: "S3" }> => ({
  _tag: "S3",
  bucket,
  region: server.region,
  endpoint: Option.some(new URL(server.endpoint)),
  credentials: Option.some({
    accessKeyId: server.access,
    secretAccessKey: Redacted.make(server.secret),
    sessionToken: Option.none()
  }),
  ...changes
})

let buckets = 0

/** A bucket name that no other test has. */
export const freshBucket = (prefix: string): string =>
  `${prefix}-${process.pid}-${Date.now().toString(36)}-${buckets++}`
