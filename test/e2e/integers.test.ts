import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { scripted } from "../exchange/scripted.ts"
import { archiveNow, environment, program, startReceiving, workspace } from "../support/collector.ts"
import { eventually, runNode } from "../support/process.ts"
import { countRows, query } from "../support/stored.ts"

const Days = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      messages: Schema.Number,
      gaps: Schema.Array(
        Schema.Struct({
          size: Schema.NullOr(Schema.Number),
          expected: Schema.Union(Schema.Number, Schema.String),
          received: Schema.Union(Schema.Number, Schema.String)
        })
      )
    })
  )
)

/** An exchange on Binance's protocol that answers a subscription with trades of these numbers. */
const trading = (ids: () => ReadonlyArray<bigint>) =>
  scripted({
    onMessage: (peer, text) => {
      const { id, method } = JSON.parse(text)
      peer.send({ result: null, id })
      if (method !== "SUBSCRIBE") return
      for (const t of ids()) {
        const time = Date.now()
        peer.send(
          `{"stream":"btcusdt@trade","data":{"e":"trade","E":${time},"s":"BTCUSDT","t":${t},"p":"1.0","q":"2.0","T":${time},"m":true,"M":true}}`
        )
      }
    }
  })

describe("an exchange whose numbers pass 2^53", () => {
  it.scopedLive("hides no missing message, within one process or across a restart", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const n = 2n ** 53n
      let ids = [n - 2n, n - 1n, n, n + 2n, n + 3n]
      const { url } = yield* trading(() => ids)
      const variables = {
        MARKETS: "binance:btcusdt:trade",
        BINANCE_WS_URL: url.href,
        ARCHIVE_INTERVAL: "3600"
      }
      const record = (rows: number) =>
        Effect.gen(function* () {
          const collector = yield* startReceiving(where, variables)
          yield* eventually(
            collector.printed,
            // A start archives what is there: then only what is new is left.
            Effect.map(countRows(where.database), (count) => count === rows || count === ids.length)
          )
          expect((yield* collector.stop()).code).toBe(0)
        }).pipe(Effect.scoped)
      yield* record(5)
      ids = [n + 5n, n + 6n]
      yield* record(7)

      const gaps = yield* query(
        where.database,
        `SELECT payload ->> 'expected' AS expected, payload ->> 'received' AS received, payload ->> 'size' AS size
         FROM journal WHERE tag = 'GapDetected' ORDER BY id`
      )
      const missing = [
        { expected: String(n + 1n), received: String(n + 2n), size: 1 },
        { expected: String(n + 4n), received: String(n + 5n), size: 1 }
      ]
      expect(gaps).toEqual(missing)
      yield* archiveNow(where, variables)
      const run = (...args: ReadonlyArray<string>) =>
        runNode([program, ...args], { cwd: where.folder, env: environment(where, variables) })
      const covered = yield* run("coverage", "--json")
      const days = Schema.decodeSync(Days)(covered.stdout)
      expect(days.flatMap(({ gaps }) => gaps)).toEqual(missing)
      expect(days.reduce((sum, { messages }) => sum + messages, 0)).toBe(7)
      expect((yield* run("verify", "--deep")).code).toBe(0)
      expect((yield* run("merge", "--into", "merged")).code).toBe(0)
    })
  )
})
