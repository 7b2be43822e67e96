import { spawnSync } from "node:child_process"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { StreamId } from "../../src/domain/StreamId.ts"
import { isolated, program } from "../support/collector.ts"
import { duckdb } from "../support/duckdb.ts"
import { makeFolder, runNode } from "../support/process.ts"
import { onDay, recordWith } from "../support/recorded.ts"
import { book, trade } from "../support/snapshots.ts"
import { filesBelow } from "../support/stored.ts"

const python = process.env.PYTHON ?? "python3"

const hasPackage = (name: string): boolean =>
  spawnSync(python, ["-c", `import sys, importlib.util as u; sys.exit(u.find_spec("${name}") is None)`])
    .status === 0

const kraken: StreamId = { exchange: "kraken", symbol: "BTC/USD", dataType: "trade" }

/** Two exchanges, three streams, two days, and a journal with a checkpoint. */
const makeArchive = Effect.gen(function* () {
  const folder = yield* makeFolder
  const streams = [book, trade, kraken]
  yield* recordWith({ streams }, folder, "a", [1, 2, 3]).pipe(onDay(0))
  yield* recordWith({ streams: [kraken], from: Date.UTC(2026, 0, 2) * 1000 }, folder, "a", [4, 5]).pipe(
    onDay(1)
  )
  const files = filesBelow(`${folder}/archive/_journal`)
  expect(files.some((file) => file.endsWith(".journal"))).toBe(true)
  expect(files.some((file) => file.endsWith(".checkpoint.json.gz"))).toBe(true)
  const merged = yield* runNode([program, "merge", "--into", `${folder}/merged`], {
    cwd: folder,
    env: {
      ...isolated(folder),
      TMPDIR: folder,
      DATABASE_PATH: `${folder}/none.db`,
      ARCHIVE_STORE: "file",
      ARCHIVE_DIR: `${folder}/archive`
    }
  })
  expect(merged).toMatchObject({ code: 0 })
  return folder
})

const ofKraken = { "kraken BTC/USD trade 2026-01-01": 3, "kraken BTC/USD trade 2026-01-02": 2 }

/** What is below some folders of the archive, and of what `merge` made of it. */
const expected = ["archive", "merged"].flatMap((root) => [
  {
    below: root,
    rows: {
      "binance btcusdt orderbook 2026-01-01": 3,
      "binance btcusdt trade 2026-01-01": 3,
      ...ofKraken
    }
  },
  { below: `${root}/exchange=kraken`, rows: ofKraken },
  { below: `${root}/exchange=kraken/symbol=BTC%2FUSD/data_type=trade`, rows: ofKraken }
])

const decodeCounts = Schema.decodeSync(
  Schema.parseJson(Schema.Array(Schema.Record({ key: Schema.String, value: Schema.Int })))
)

describe("one call reads a stream, an exchange and everything", () => {
  it.scopedLive("of DuckDB", () =>
    Effect.gen(function* () {
      const folder = yield* makeArchive
      for (const { below, rows } of expected) {
        const found = yield* duckdb(
          `SELECT concat_ws(' ', exchange, symbol, data_type, date) AS stream, count(*)::INT AS n
           FROM '${folder}/${below}/**/*.parquet' GROUP BY ALL`
        )
        expect(Object.fromEntries(found.map(({ n, stream }) => [String(stream), n]))).toEqual(rows)
      }
      expect(
        yield* duckdb(
          `SELECT count(*) > 0 AS has FROM read_parquet('${folder}/archive/_journal/*/*.journal')`
        )
      ).toEqual([{ has: true }])
    })
  )

  for (const [reader, name] of [
    ["pandas", "pandas"],
    ["pyarrow", "pyarrow"],
    ["pyarrow_dataset", "pyarrow"],
    ["polars", "polars"],
    ["duckdb", "duckdb"]
  ] as const) {
    const isHere = hasPackage(name) && (name !== "pandas" || hasPackage("pyarrow"))
    it.scopedLive.skipIf(!isHere)(
      `of ${reader} in Python${isHere ? "" : ` (skipped: ${python} has no ${name})`}`,
      () =>
        Effect.gen(function* () {
          const folder = yield* makeArchive
          const folders = expected.map(({ below }) => `${folder}/${below}`)
          const { code, stderr, stdout } = yield* runNode([reader, ...folders], {
            cwd: folder,
            env: {},
            command: [python, `${import.meta.dirname}/../tools/readArchive.py`]
          })
          expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
          expect(decodeCounts(stdout)).toEqual(expected.map(({ rows }) => rows))
        })
    )
  }
})
