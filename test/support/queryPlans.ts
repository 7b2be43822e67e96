import { SqlClient, Statement } from "@effect/sql"
import { Effect } from "effect"

/** How SQLite finds the rows for the statements that match, of all that the effect runs: the lines of each one's plan. */
export const queryPlansOf = <A, E, R>(effect: Effect.Effect<A, E, R>, pattern: RegExp) =>
  Effect.gen(function* () {
    const texts = new Set<string>()
    yield* Statement.withTransformer(effect, (statement) =>
      Effect.sync(() => {
        texts.add(statement.compile()[0])
        return statement
      })
    )
    const sql = yield* SqlClient.SqlClient
    return yield* Effect.forEach(
      Array.from(texts).filter((text) => pattern.test(text)),
      (text) =>
        Effect.map(
          sql.unsafe<{ detail: string }>(
            `EXPLAIN QUERY PLAN ${text}`,
            Array.from(text.matchAll(/\?/g), () => 1)
          ),
          (steps) => steps.map(({ detail }) => detail)
        )
    )
  })
