import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { ArchiveStore } from "../../src/archive/ArchiveStore.ts"
import { archiveColumns, archivePage } from "../../src/archive/columns.ts"
import { ParquetWriter } from "../../src/archive/ParquetWriter.ts"
import { makeContentCheck } from "../../src/commands/verify/checkContent.ts"
import { archiveKey } from "../../src/domain/Archive.ts"
import { temporaryDatabase } from "../../src/storage/temporaryDatabase.ts"
import { newYear, trade } from "../support/snapshots.ts"
import { fileArchive, temporaryFolder } from "../support/storage.ts"

const second = 1_000_000

/** Puts objects of these rows into an archive, and checks them with the clock set back in these windows, seconds. */
const checked = (
  objects: ReadonlyArray<{
    readonly date?: string
    readonly rows: ReadonlyArray<readonly [id: string, seconds: number]>
  }>,
  setBacks: ReadonlyArray<readonly [from: number, to: number]> = [],
  limits?: { readonly messages: number; readonly millis: number }
) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const services = yield* Layer.build(fileArchive(`${folder}/archive`))
    return yield* Effect.gen(function* () {
      const writer = yield* ParquetWriter
      const store = yield* ArchiveStore
      const scratch = yield* temporaryDatabase(`${folder}/scratch.db`)
      const windows = setBacks.map(([from, to]) => ({
        from: newYear + from * second,
        to: newYear + to * second
      }))
      const check = yield* makeContentCheck(scratch, folder, new Map([["a", windows]]), limits)
      const found: Array<string | undefined> = []
      for (const [n, { date = "2026-01-01", rows }] of objects.entries()) {
        const path = `${folder}/file.parquet`
        const file = yield* writer.write({
          path,
          columns: archiveColumns,
          metadata: {},
          pages: Stream.make(
            archivePage(
              trade,
              rows.map(([exchangeSequenceId, seconds], id) => ({
                id,
                exchangeSequenceId,
                timestamp: newYear + seconds * second,
                exchangeTimestamp: null,
                data: new Uint8Array()
              }))
            )
          )
        })
        const archiveId = `${n}`.padStart(24, "0")
        const key = archiveKey({ stream: trade, date, serverName: "a", firstTimestamp: newYear, archiveId })
        yield* store.put({ key, path, ...file })
        found.push(yield* check({ key, archive_id: "", server: "a", is_rows: 1, verified: 1, ...file }))
      }
      const [left] = yield* scratch<{ n: number }>`SELECT count(*) AS n FROM messages`
      return { found, left: left?.n }
    }).pipe(Effect.provide(services))
  }).pipe(Effect.provide(NodeContext.layer))

describe("the content of an object", () => {
  it.scoped("can go back in time where the clock was set back, and nowhere else", () =>
    Effect.gen(function* () {
      const rows = [100, 200, 40, 50].map((seconds) => [String(seconds), seconds] as const)
      expect((yield* checked([{ rows }], [[38, 201]])).found).toEqual([undefined])
      // nothing came between two steps
      expect(
        (yield* checked(
          [{ rows }],
          [
            [120, 205],
            [35, 121]
          ]
        )).found
      ).toEqual([undefined])
      expect((yield* checked([{ rows }], [[60, 90]])).found[0]).toMatch(/^its rows are out of order: /)
    })
  )

  it.scoped("can repeat an id that was forgotten, by count or by time, and no other", () =>
    Effect.gen(function* () {
      const limits = { messages: 3, millis: 100_000 }
      const twice = (id: string) => `the id ${id} is archived twice`
      const objects = (...rows: ReadonlyArray<readonly [string, number]>) => [
        { rows: rows.slice(0, 2) },
        { rows: rows.slice(2) }
      ]
      const check = (...rows: ReadonlyArray<readonly [string, number]>) =>
        Effect.map(checked(objects(...rows), [], limits), ({ found }) => found[1])
      expect(yield* check(["1", 1], ["2", 2], ["1", 3])).toBe(twice("1"))
      expect(yield* check(["1", 1], ["2", 2], ["3", 3], ["2", 4])).toBe(twice("2"))
      expect(yield* check(["1", 1], ["2", 2], ["3", 3], ["1", 4])).toBe(undefined)
      expect(yield* check(["1", 1], ["2", 2], ["1", 102])).toBe(undefined)
      expect(yield* check(["1", 1], ["2", 2], ["3", 3], ["3", 4])).toBe(twice("3"))
      // more time went by than the clock says
      expect((yield* checked(objects(["1", 1], ["2", 2], ["1", 40]), [[2, 80]], limits)).found[1]).toBe(
        undefined
      )
    })
  )

  it.scoped("is forgotten with the days that are no longer needed", () =>
    Effect.gen(function* () {
      const day = 86_400
      const { found, left } = yield* checked(
        [0, 1, 2, 3].map((n) => ({
          date: `2026-01-0${n + 1}`,
          rows: [[`${n}`, n * day] as const, [`x${n}`, n * day + 1] as const]
        }))
      )
      expect(found).toEqual([undefined, undefined, undefined, undefined])
      expect(left).toBe(4)
    })
  )
})
