import { FileSystem } from "@effect/platform"
import { ConfigProvider, Console, Duration, Effect, Stream } from "effect"
import * as HyparquetReader from "../../archive/HyparquetReader.ts"
import { ParquetReader } from "../../archive/ParquetReader.ts"
import { loadSettings } from "../../Config.ts"
import * as Collector from "../../collector.ts"
import { exchanges } from "../../exchange/registry.ts"
import { Batcher } from "../../ingest/Batcher.ts"
import { SnapshotQueue } from "../../ingest/SnapshotQueue.ts"
import * as Simulator from "../../simulator/Simulator.ts"
import { Storage } from "../../storage/Storage.ts"
import * as StorageThread from "../../thread/StorageThread.ts"

import { demoSeconds } from "./seconds.ts"

const symbols = ["btcusdt", "ethusdt"]

export const run = () => Effect.scoped(recordAndShow)

const recordAndShow = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "crypto-collector-demo-" })
  const simulator = yield* Simulator.make({ symbols, rate: 50 })
  // It connects only to itself.
  process.env.no_proxy = "*"
  const settings = yield* loadSettings(exchanges).pipe(
    Effect.withConfigProvider(
      ConfigProvider.fromMap(
        new Map([
          ["MARKETS", symbols.map((symbol) => `binance:${symbol}`).join()],
          ["BINANCE_WS_URL", simulator.url()],
          ["BATCH_INTERVAL", "1"],
          ["DATABASE_PATH", `${folder}/collector.db`],
          ["ARCHIVE_STORE", "file"],
          ["ARCHIVE_DIR", `${folder}/archive`],
          ["LOG_DIR", `${folder}/logs`],
          ["HOME_SERVER_NAME", "demo"],
          ["HTTP_PORT", "0"]
        ])
      )
    )
  )
  yield* Console.log(
    `A simulated exchange listens on ${simulator.url()}; the collector records it for ${demoSeconds} s.\n`
  )
  const storage = yield* StorageThread.begin(settings)
  yield* record.pipe(Effect.provide(Collector.layer(settings, storage)))
  yield* showArchive(`${folder}/archive`)
})

/**
 * Shows the counts every second, archives every 7 seconds, and archives the rest at the end. A cycle of the collector's own
 * could start as the demo ends, and would then be cut off.
 */
const record = Effect.gen(function* () {
  const queue = yield* SnapshotQueue
  const batcher = yield* Batcher
  const storage = yield* Storage
  const showCounts = Effect.gen(function* () {
    const { depth, dropped, received } = yield* queue.counts
    const { committed } = yield* batcher.counts
    const { archives, rows } = yield* storage.archiverCounts
    yield* Console.log(
      `  received ${received}   committed ${committed}   archived ${rows} in ${archives} files   dropped ${dropped}   waiting ${depth}`
    )
  })
  for (let second = 1; second <= demoSeconds; second++) {
    yield* Effect.delay(showCounts, Duration.seconds(1))
    if (second % 7 === 0 || second === demoSeconds) yield* storage.runCycle
  }
})

const showArchive = (directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const reader = yield* ParquetReader
    const files = (yield* fs.readDirectory(directory, { recursive: true })).filter(
      (file) => file.startsWith("exchange=") && file.endsWith(".parquet")
    )
    yield* Console.log(`\nThe archive holds ${files.length} Parquet files. Read back:\n`)
    let total = 0
    for (const file of files.sort()) {
      const { rows } = yield* reader.info(`${directory}/${file}`)
      const { size } = yield* fs.stat(`${directory}/${file}`)
      const ids = yield* reader
        .pages(`${directory}/${file}`, { columns: ["exchange_sequence_id"] })
        .pipe(
          Stream.runFold<ReadonlyArray<unknown>, { columns: ReadonlyArray<ReadonlyArray<unknown>> }>(
            [],
            (all, page) => [...all, ...(page.columns[0] ?? [])]
          )
        )
      total += rows
      yield* Console.log(`  ${file}\n    ${rows} messages, ids ${ids[0]} to ${ids.at(-1)}, ${size} bytes`)
    }
    yield* Console.log(`\n${total} messages in all.`)
  }).pipe(Effect.provide(HyparquetReader.layer))
