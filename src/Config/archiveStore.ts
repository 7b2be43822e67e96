import { Either, Option, Redacted } from "effect"
import type { ArchiveStoreSettings } from "../domain/StorageSettings.ts"
import type { Sources } from "./Given.ts"
import { blank, describe, optional, withDefault } from "./Rule.ts"
import * as rules from "./rules.ts"
import { all, problem, type Validated } from "./Validated.ts"

/**
 * Reads ARCHIVE_STORE and its related settings. Whatever is given is checked, even if the other store is used. The usual AWS
 * names are accepted, but only our own select the `s3` store: a developer's shell often has the others.
 */
export const archiveStore = (sources: Sources): Validated<ArchiveStoreSettings> => {
  const hint = ["AWS_ACCESS_KEY", "BUCKET_NAME", "S3_ENDPOINT"].find((name) =>
    Option.isSome(sources.find(name))
  )
  const store = withDefault(
    sources,
    ["ARCHIVE_STORE"],
    rules.archiveStoreKind,
    hint === undefined ? "file" : "s3"
  )
  const reason = Option.isSome(sources.find("ARCHIVE_STORE")) ? "ARCHIVE_STORE is s3" : `${hint} is set`
  const endpoint = optional(sources, ["S3_ENDPOINT"], rules.httpUrl)
  const regionRule = Option.isSome(sources.find("S3_ENDPOINT")) ? rules.anyRegion : rules.awsRegion
  const isStore = (name: "s3" | "file") => Either.isRight(store) && store.right === name
  const settings = all({
    store,
    directory: withDefault(sources, ["ARCHIVE_DIR"], rules.path, "data/archive"),
    endpoint,
    region: withDefault(sources, ["AWS_REGION", "AWS_DEFAULT_REGION"], regionRule, "us-west-2"),
    bucket: bucket(sources, { isS3: isStore("s3"), isFile: isStore("file"), reason }),
    credentials: credentials(sources, isStore("s3"))
  })
  return Either.map(settings, ({ store, directory, bucket, region, endpoint, credentials }) =>
    store === "s3" ? { _tag: "S3", bucket, region, endpoint, credentials } : { _tag: "File", directory }
  )
}

/** The names read by `archiveStore`. */
export const archiveStoreNames = [
  "ARCHIVE_STORE",
  "ARCHIVE_DIR",
  "AWS_ACCESS_KEY",
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_KEY",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_REGION",
  "AWS_DEFAULT_REGION",
  "BUCKET_NAME",
  "S3_ENDPOINT"
] as const

/**
 * A BUCKET_NAME without text is a mistake unless ARCHIVE_STORE is `file`: archives would silently pile up on the local disk.
 */
const bucket = (
  sources: Sources,
  store: { readonly isS3: boolean; readonly isFile: boolean; readonly reason: string }
): Validated<string> => {
  const fileIsMeant = store.isFile && Option.isSome(sources.find("ARCHIVE_STORE"))
  return optional(sources, ["BUCKET_NAME"], rules.bucketName).pipe(
    Either.flatMap((name): Validated<string> => {
      if (Option.isSome(name)) return Either.right(name.value)
      if (sources.isBlank("BUCKET_NAME") && !fileIsMeant) {
        return blank(
          "BUCKET_NAME",
          "must be the name of a bucket (leave the variable out to archive to a folder)"
        )
      }
      return store.isS3 && sources.complete
        ? problem(
            `BUCKET_NAME is not set: archives go to S3 (${store.reason}), which needs the name of a bucket`
          )
        : Either.right("")
    })
  )
}

const credentials = (
  sources: Sources,
  isS3: boolean
): Validated<Extract<ArchiveStoreSettings, { _tag: "S3" }>["credentials"]> => {
  const read = all({
    key: optional(sources, keyNames, rules.secret),
    secret: optional(sources, secretNames, rules.secret),
    token: optional(sources, ["AWS_SESSION_TOKEN"], rules.secret)
  })
  return Either.flatMap(read, ({ key, secret, token }) => {
    if (Option.isSome(key) && Option.isSome(secret)) {
      return Either.right(
        Option.some({
          accessKeyId: key.value,
          secretAccessKey: Redacted.make(secret.value),
          sessionToken: tokenIsOfAnotherKey(sources, key.value)
            ? Option.none()
            : Option.map(token, (text) => Redacted.make(text))
        })
      )
    }
    const half = Option.orElse(sources.find(...keyNames), () => sources.find(...secretNames))
    if (Option.isNone(half) || !sources.complete) return Either.right(Option.none())
    const isOurs = half.value.name === keyNames[0] || half.value.name === secretNames[0]
    if (!isOurs && !isS3) return Either.right(Option.none())
    const other = Option.isSome(key) ? secretNames : keyNames
    return problem(
      `${describe(half.value, "nothing")} is set without ${other.join(" or ")}: set both, or neither to let the AWS provider chain find them`
    )
  })
}

const keyNames = ["AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID"] as const

const secretNames = ["AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"] as const

/** A session token in the environment belongs to AWS_ACCESS_KEY_ID, not to a key of ours that is set as well. */
const tokenIsOfAnotherKey = (sources: Sources, key: string): boolean =>
  Option.exists(
    sources.find("AWS_ACCESS_KEY_ID"),
    (given) => (given._tag === "Variable" ? given.text : given.value) !== key
  )
