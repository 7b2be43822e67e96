import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from "node:crypto"
import { FileSystem } from "@effect/platform"
import { Clock, Effect, Either, Option, Redacted, Schema } from "effect"
import type { Authentication, Signer } from "../../Exchange.ts"

/**
 * Coinbase's API keys. The recorded data are public and need none; with a key every subscription carries a JWT, which Coinbase
 * recommends for a more reliable connection. Facts: docs.cdp.coinbase.com, Advanced Trade WebSocket authentication and CDP API
 * keys (2026): a new key is Ed25519 unless ECDSA is chosen, and is given as the base64 of its seed and public half.
 */
export const authentication: Authentication = {
  settings: ["COINBASE_API_KEY", "COINBASE_API_SECRET", "COINBASE_API_SECRET_FILE"],
  signer: (settings) =>
    Effect.gen(function* () {
      const name = settings.get("COINBASE_API_KEY")
      const secret = settings.get("COINBASE_API_SECRET")
      const file = settings.get("COINBASE_API_SECRET_FILE")
      if (name === undefined && secret === undefined && file === undefined) return Option.none()
      if (name === undefined) {
        return yield* Effect.fail("COINBASE_API_KEY: must be set as well, for there is a secret")
      }
      if (secret !== undefined && file !== undefined) {
        return yield* Effect.fail(
          "COINBASE_API_SECRET and COINBASE_API_SECRET_FILE are both set: only one can be used"
        )
      }
      if (secret !== undefined) {
        return Option.some(signerOf(Redacted.value(name), yield* privateKey(secret, "COINBASE_API_SECRET")))
      }
      if (file === undefined) {
        return yield* Effect.fail(
          "COINBASE_API_SECRET: must be set as well (or COINBASE_API_SECRET_FILE), for there is a COINBASE_API_KEY"
        )
      }
      const fs = yield* FileSystem.FileSystem
      const pem = yield* Effect.mapError(
        fs.readFileString(Redacted.value(file)),
        (error) => `COINBASE_API_SECRET_FILE: cannot be read: ${error.message}`
      )
      return Option.some(
        signerOf(Redacted.value(name), yield* privateKey(Redacted.make(pem), "COINBASE_API_SECRET_FILE"))
      )
    })
}

/** For how many seconds a token is valid. Every request gets a fresh one, which is valid only for that request. */
const tokenSeconds = 120

const signerOf =
  (name: string, key: KeyObject): Signer =>
  (frame) =>
    Effect.gen(function* () {
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      const { SignJWT } = yield* Effect.promise(() => import("jose"))
      const jwt = yield* Effect.promise(() =>
        new SignJWT({ sub: name, iss: "cdp", nbf: now, exp: now + tokenSeconds })
          .setProtectedHeader({
            alg: key.asymmetricKeyType === "ec" ? "ES256" : "EdDSA",
            typ: "JWT",
            kid: name,
            nonce: randomBytes(16).toString("hex")
          })
          .sign(key)
      )
      return `${frame.slice(0, -1)},"jwt":${JSON.stringify(jwt)}}`
    })

/**
 * Parses an EC key on the curve P-256 (PEM: SEC1 or PKCS#8) or an Ed25519 key (base64 of 64 bytes, or PEM: PKCS#8), by itself
 * or as `privateKey` in the JSON file that Coinbase provides. Line breaks can be written as `\n`, as in an environment file.
 */
const privateKey = (secret: Redacted.Redacted, setting: string): Effect.Effect<KeyObject, string> => {
  const problem = `${setting} (value not shown): must be an EC private key on the curve P-256 in PEM, an Ed25519 private key in base64 or PEM, or the JSON file of either as Coinbase gives it`
  const given = Redacted.value(secret).trim()
  const text = Either.match(decodeKeyFile(given), {
    onLeft: () => given,
    onRight: ({ privateKey }) => privateKey
  })
  const key = text.replaceAll("\\n", "\n").trim()
  return Effect.filterOrFail(
    Either.try({ try: () => fromBase64(key) ?? createPrivateKey(key), catch: () => problem }),
    (key) =>
      key.asymmetricKeyType === "ed25519" ||
      (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1"),
    () => problem
  )
}

const decodeKeyFile = Schema.decodeUnknownEither(
  Schema.parseJson(Schema.Struct({ privateKey: Schema.String }))
)

/** Parses an Ed25519 key: 32 bytes of seed and the 32 of the public key that belongs to it. */
const fromBase64 = (text: string): KeyObject | undefined => {
  const bytes = /^[A-Za-z0-9+/]+=*$/.test(text) ? Buffer.from(text, "base64") : Buffer.alloc(0)
  if (bytes.length !== 64) return undefined
  const key = createPrivateKey({
    key: Buffer.concat([pkcs8OfSeed, bytes.subarray(0, 32)]),
    format: "der",
    type: "pkcs8"
  })
  const publicKey = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32)
  return publicKey.equals(bytes.subarray(32)) ? key : undefined
}

/** The bytes before the seed in PKCS#8 (RFC 8410). */
const pkcs8OfSeed = Buffer.from("302e020100300506032b657004220420", "hex")
