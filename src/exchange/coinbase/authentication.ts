import { createPrivateKey, type KeyObject, randomBytes } from "node:crypto"
import { FileSystem } from "@effect/platform"
import { Clock, Effect, Either, Option, Redacted } from "effect"
import type { Authentication, Signer } from "../Exchange.ts"

/**
 * Coinbase's API keys. What is recorded is public and needs none; with a key every subscription carries a JWT, which
 * Coinbase recommends for a more reliable connection. Facts: docs.cdp.coinbase.com, Advanced Trade WebSocket authentication.
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

/** Puts a fresh token into a request. It is valid for so many seconds, and only for the request it came with. */
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
            alg: "ES256",
            typ: "JWT",
            kid: name,
            nonce: randomBytes(16).toString("hex")
          })
          .sign(key)
      )
      return `${frame.slice(0, -1)},"jwt":${JSON.stringify(jwt)}}`
    })

/** An EC key on the curve P-256 in PEM, SEC1 or PKCS#8. Line breaks may be written as `\n`, as in an environment file. */
const privateKey = (secret: Redacted.Redacted, setting: string): Effect.Effect<KeyObject, string> => {
  const problem = `${setting} (value not shown): must be an EC private key on the curve P-256 in PEM`
  const pem = Redacted.value(secret).replaceAll("\\n", "\n").trim()
  return Effect.filterOrFail(
    Either.try({ try: () => createPrivateKey(pem), catch: () => problem }),
    (key) => key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1",
    () => problem
  )
}
