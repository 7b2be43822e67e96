import type { FileSystem } from "@effect/platform"
import { Effect, Either, Option, Redacted } from "effect"
import type { Exchange, Signer } from "../exchange/Exchange.ts"
import type { Sources } from "./Given.ts"
import { optional, type Rule } from "./Rule.ts"
import type { Validated } from "./Validated.ts"
import { all } from "./Validated.ts"

/** Builds signers, by exchange, for the exchanges with given credentials. An invalid key is a problem. */
export const signers = (
  sources: Sources,
  exchanges: ReadonlyMap<string, Exchange>
): Effect.Effect<Validated<ReadonlyMap<string, Signer>>, never, FileSystem.FileSystem> =>
  Effect.map(
    Effect.forEach(exchanges.values(), (exchange) => Effect.either(signerOf(sources, exchange))),
    (found) =>
      Either.map(
        Either.all(found),
        (found) =>
          new Map(found.flatMap(({ name, signer }) => Option.toArray(signer).map((s) => [name, s] as const)))
      )
  )

/** The names of the settings that exchanges use for credentials. */
export const signerNames = (exchanges: ReadonlyMap<string, Exchange>): ReadonlyArray<string> =>
  Array.from(exchanges.values()).flatMap(({ authentication }) => authentication?.settings ?? [])

const signerOf = (sources: Sources, { authentication, name }: Exchange) =>
  Effect.gen(function* () {
    if (authentication === undefined) return { name, signer: Option.none<Signer>() }
    const texts = yield* all(
      Object.fromEntries(
        authentication.settings.map((setting) => [setting, optional(sources, [setting], anyText)])
      )
    )
    const given = Object.entries(texts).flatMap(([setting, text]) =>
      Option.toArray(text).map((text) => [setting, Redacted.make(text)] as const)
    )
    const signer = yield* Effect.mapError(authentication.signer(new Map(given)), (problem) => [problem])
    return { name, signer }
  })

const anyText: Rule<string> = { type: "text", show: "nothing", parse: Either.right }
