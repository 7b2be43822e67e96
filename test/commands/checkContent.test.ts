import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { archivePage } from "../../src/archive/Archiver/columns.ts"
import { archiveColumns } from "../../src/archive/Archiver.ts"
import { ArchiveStore } from "../../src/archive/ArchiveStore.ts"
import * as FileArchiveStore from "../../src/archive/FileArchiveStore.ts"
import * as HyparquetReader from "../../src/archive/HyparquetReader.ts"
import * as HyparquetWriter from "../../src/archive/HyparquetWriter.ts"
import { ParquetWriter } from "../../src/archive/ParquetWriter.ts"
import { checkContent } from "../../src/commands/verify/checkContent.ts"
import { archiveKey } from "../../src/domain/Archive.ts"
import { scratchDatabase } from "../../src/storage/scratch.ts"
import { newYear, trade } from "../support/snapshots.ts"
import { temporaryFolder } from "../support/storage.ts"

const second = 1_000_000

describe("the content of an object", () => {
  it.scoped("may go back in time where the clock was set back between two processes, and nowhere else", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const services = yield* Layer.build(
        Layer.mergeAll(
          FileArchiveStore.layer({ directory: `${folder}/archive` }),
          HyparquetReader.layer,
          HyparquetWriter.layer()
        )
      )
      yield* Effect.gen(function* () {
        const times = [100, 200, 40, 50].map((seconds) => newYear + seconds * second)
        const rows = times.map((timestamp, id) => ({
          id,
          exchangeSequenceId: String(id),
          timestamp,
          exchangeTimestamp: null,
          data: new Uint8Array()
        }))
        const path = `${folder}/file.parquet`
        const writer = yield* ParquetWriter
        const file = yield* writer.write({
          path,
          columns: archiveColumns,
          metadata: {},
          pages: Stream.make(archivePage(trade, rows))
        })
        const key = archiveKey({
          stream: trade,
          date: "2026-01-01",
          serverName: "a",
          firstTimestamp: newYear,
          archiveId: "0".repeat(24)
        })
        yield* (yield* ArchiveStore).put({ key, path, ...file })
        const check = (name: string, from: number, to: number) =>
          Effect.gen(function* () {
            const scratch = yield* scratchDatabase(`${folder}/${name}.db`)
            yield* scratch`CREATE TABLE messages (stream TEXT, id TEXT, PRIMARY KEY (stream, id)) WITHOUT ROWID`
            const setBack = { server: "a", from: newYear + from * second, to: newYear + to * second }
            const expected = { key, archive_id: "", server: "a", is_rows: 1, verified: 1, ...file }
            return yield* checkContent(expected, [setBack], scratch, folder)
          })
        expect(yield* check("set-back", 38, 201)).toBe(undefined)
        expect(yield* check("another", 60, 90)).toMatch(/^its rows are out of order: /)
      }).pipe(Effect.provide(services))
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
