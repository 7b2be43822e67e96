import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Layer, Option, Stream } from "effect"
import { ArchiveStore } from "../../src/archive/ArchiveStore.ts"
import { archiveColumns, archivePage } from "../../src/archive/columns.ts"
import { ParquetReader } from "../../src/archive/ParquetReader.ts"
import { ParquetWriter } from "../../src/archive/ParquetWriter.ts"
import { mergeDay } from "../../src/commands/merge/mergeDay.ts"
import { archiveKey, dateOf } from "../../src/domain/Archive.ts"
import { contentHash, idOfReuse } from "../../src/domain/contentHash.ts"
import { microsPerDay } from "../../src/domain/micros.ts"
import { temporaryDatabase } from "../../src/storage/temporaryDatabase.ts"
import { pace } from "../support/pace.ts"
import { newYear, trade } from "../support/snapshots.ts"
import { fileArchive, temporaryFolder } from "../support/storage.ts"

/** A message as it was received by a server; `at`: microseconds since the new year. */
interface Received {
  readonly server: "a" | "b" | "c"
  readonly id: string
  readonly content: string
  readonly at: number
}

const hashOf = (content: string) => contentHash(trade.exchange, Buffer.from(content))

/** What a server stores: each message once, and another one under a known id under an id of its own. */
const storedBy = (messages: ReadonlyArray<Received>): ReadonlyArray<Received> => {
  const stored: Array<Received> = []
  for (const message of messages.toSorted((a, b) => a.at - b.at)) {
    const others = stored.filter(({ id, server }) => id === message.id && server === message.server)
    const own = { ...message, id: idOfReuse(message.id, hashOf(message.content)) }
    if (others.some(({ content }) => content === message.content)) continue
    if (others.length === 0) stored.push(message)
    else if (!stored.some(({ id, server }) => id === own.id && server === own.server)) stored.push(own)
  }
  return stored
}

const mergeAll = (
  rows: ReadonlyArray<Received>,
  options: { readonly days: ReadonlyArray<number>; readonly isSingle: boolean; readonly twice: boolean }
) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const services = yield* Layer.build(fileArchive(`${folder}/archive`))
    return yield* Effect.gen(function* () {
      const writer = yield* ParquetWriter
      const reader = yield* ParquetReader
      const store = yield* ArchiveStore
      const objectsOf = (day: number) =>
        Effect.forEach(
          (["a", "b", "c"] as const).flatMap((server) => (options.twice ? [server, server] : [server])),
          (server, n) =>
            Effect.gen(function* () {
              const path = `${folder}/${day}-${n}.parquet`
              const mine = rows.filter(
                (row) => row.server === server && Math.floor(row.at / microsPerDay) === day
              )
              const page = archivePage(
                trade,
                mine.map(({ at, content, id }) => ({
                  id: at,
                  exchangeSequenceId: id,
                  timestamp: newYear + at,
                  exchangeTimestamp: null,
                  data: Buffer.from(content)
                }))
              )
              const file = yield* writer.write({
                path,
                columns: archiveColumns,
                metadata: {},
                pages: mine.length === 0 ? Stream.empty : Stream.make(page)
              })
              const key = archiveKey({
                stream: trade,
                date: dateOf(newYear + day * microsPerDay),
                serverName: server,
                firstTimestamp: newYear + day * microsPerDay,
                archiveId: `${n}`.padStart(24, "0")
              })
              yield* store.put({ key, path, ...file })
              return { key, server }
            })
        )
      const merged: Array<{ readonly id: string; readonly content: string; readonly at: number }> = []
      let last: number | undefined
      let scratch = yield* temporaryDatabase(`${folder}/scratch.db`)
      for (const day of options.days) {
        if (options.isSingle) {
          scratch = yield* temporaryDatabase(`${folder}/scratch${day}.db`)
          last = undefined
        }
        const { file, path, unreadable } = yield* mergeDay({
          day: { ...trade, date: dateOf(newYear + day * microsPerDay) },
          objects: yield* objectsOf(day),
          before: last === day - 1 ? Option.none() : Option.some(yield* objectsOf(day - 1)),
          range: { from: newYear + day * microsPerDay, to: newYear + (day + 1) * microsPerDay },
          into: `${folder}/merged`,
          scratch,
          folder
        })
        last = day
        expect(unreadable).toEqual([])
        expect(file.rows).toBeGreaterThanOrEqual(0)
        yield* Stream.runForEach(
          reader.pages(path, { columns: ["exchange_sequence_id", "timestamp", "data"] }),
          ({ columns: [ids = [], times = [], data = []], length }) =>
            Effect.sync(() => {
              for (let i = 0; i < length; i++) {
                merged.push({ id: String(ids[i]), content: String(data[i]), at: Number(times[i]) - newYear })
              }
            })
        )
      }
      return merged
    }).pipe(Effect.provide(services))
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const received = FastCheck.array(
  FastCheck.record({
    server: FastCheck.constantFrom("a" as const, "b" as const, "c" as const),
    id: FastCheck.constantFrom("1", "2", "3"),
    content: FastCheck.constantFrom("x", "y", "z"),
    at: FastCheck.integer({ min: 0, max: 2 * microsPerDay - 1 })
  }),
  { maxLength: 12 }
)

describe("merging", () => {
  it.effect("orders whole numbers by value, however large", () =>
    Effect.gen(function* () {
      const ids = [
        "7",
        "10",
        "9007199254740993",
        "9007199254740992",
        "9223372036854775808",
        `1${"0".repeat(27)}`
      ]
      const rows = ids.map((id, i) => ({ server: "a" as const, id, content: id, at: 1000 - i }))
      const merged = yield* mergeAll(rows, { days: [0], isSingle: false, twice: false })
      expect(merged.map(({ id }) => id)).toEqual(ids.toSorted((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1)))
    })
  )

  it.effect.prop(
    "has every message of every server once, as first received, under a unique id",
    [received, FastCheck.boolean(), FastCheck.boolean()],
    ([messages, isSingle, twice]) =>
      Effect.gen(function* () {
        const rows = storedBy(messages)
        const merged = yield* mergeAll(rows, { days: [0, 1], isSingle, twice })
        /** What came first of each message, whatever id it was stored under. */
        const first = new Map<string, number>()
        for (const { at, content, id } of rows) {
          const name = `${id.split("~")[0]} ${content}`
          first.set(name, Math.min(at, first.get(name) ?? Number.POSITIVE_INFINITY))
        }
        const expected = Array.from(first, ([name, at]) => `${name} ${at}`).sort()
        expect(merged.map(({ at, content, id }) => `${id.split("~")[0]} ${content} ${at}`).sort()).toEqual(
          expected
        )
        expect(new Set(merged.map(({ id }) => id)).size).toBe(merged.length)
        for (const { content, id } of merged) {
          const [base = "", hash] = id.split("~")
          expect(hash === undefined || id === idOfReuse(base, hashOf(content))).toBe(true)
        }
      }),
    { timeout: 60_000 * pace, fastCheck: { numRuns: 25 } }
  )
})
