import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import {
  allArchived,
  archiveNow,
  startCollector,
  startReceiving,
  type Variables,
  type Workspace,
  workspace
} from "../support/collector.ts"
import { eventually } from "../support/process.ts"
import { makeBucket, s3Server, s3ServerName } from "../support/s3Bucket.ts"
import { makeS3Proxy } from "../support/s3Proxy.ts"
import {
  archivedRows,
  archiveFiles,
  countEvents,
  countRows,
  databaseRows,
  faultless,
  faultsOf,
  filesBelow,
  keyOf,
  query,
  type SentMessage,
  sentMessages
} from "../support/stored.ts"

const symbols = ["btcusdt", "ethusdt"]

describe.concurrent("kill -9", () => {
  it.scopedLive(
    "at random moments and between the steps of an archive neither loses nor duplicates what was committed",
    () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const simulator = yield* Simulator.make({ symbols, rate: 60, record: where.record })
        const variables = {
          ...marketsOn(simulator),
          BATCH_INTERVAL: "0.2",
          ARCHIVE_INTERVAL: "1",
          // The queue must not be what loses anything here.
          QUEUE_CAPACITY: "100000"
        }
        const committed = new Set<string>()
        const sessions: Array<number> = []
        let interrupted = 0
        const random = Array.from({ length: 3 }, () => Math.round(300 + Math.random() * 2500))
        const moments = [
          ...random,
          "ArchivePlanned",
          "ArchiveWritten",
          "ArchiveUploaded",
          "ArchiveRowsPurged"
        ]
        for (const moment of moments) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const collector = yield* startReceiving(where, variables)
              yield* Effect.forkScoped(Effect.forever(Effect.delay(note(committed, where), "150 millis")))
              if (typeof moment === "number") {
                yield* Effect.sleep(moment)
              } else {
                // more than a purge deletes in one transaction
                yield* simulator.inject({
                  _tag: "burst",
                  count: moment === "ArchiveRowsPurged" ? 6000 : 1000
                })
                yield* awaitEvent(where, moment)
              }
              yield* collector.signal("SIGKILL")
              expect((yield* collector.ended).signal).toBe("SIGKILL")
            })
          )
          yield* note(committed, where)
          const planned = yield* countEvents(where.database, "ArchivePlanned")
          if (planned > (yield* countEvents(where.database, "ArchivePurged"))) interrupted++
          yield* simulator.flush
          sessions.push((yield* sentMessages(where.record)).length)
        }

        const last = yield* startReceiving(where, variables)
        yield* Effect.sleep("500 millis")
        yield* simulator.inject({ _tag: "silence" })
        yield* simulator.flush
        const sent = yield* sentMessages(where.record)
        yield* allArchived(where, last, sent.slice(sessions.at(-1)).length)
        expect((yield* last.stop()).code).toBe(0)
        yield* archiveNow(where, variables)

        const rows = yield* archivedRows(where.archive)
        const stored = new Set(rows.map(keyOf))
        const context = `killed at ${moments.join(", ")}`
        expect(faultsOf(sent, rows, { mayMiss: true }), context).toEqual(faultless)
        expect([...committed].filter((key) => !stored.has(key)).slice(0, 5), context).toEqual([])
        expect(committed.size).toBeGreaterThan(1000)
        expect(interrupted, "archives that a kill interrupted").toBeGreaterThan(0)
        for (const [i, end] of sessions.entries()) {
          const session = sent.slice(sessions[i - 1] ?? 0, end)
          expect(holesIn(session, stored).slice(0, 5), `${context}; in session ${i + 1}`).toEqual([])
        }
        // what was sent in the last session arrived before the simulator fell silent
        expect(faultsOf(sent.slice(sessions.at(-1)), rows).missing).toEqual([])
        expect(filesBelow(where.outbox), context).toEqual([])
        expect(yield* countEvents(where.database, "ArchivePurged")).toBe(archiveFiles(where.archive).length)
      })
  )

  it.scopedLive(
    `while an upload or its verification is under way leaves one object of each archive (${s3ServerName})`,
    () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const server = yield* s3Server
        const bucket = yield* makeBucket(server)
        const proxy = yield* makeS3Proxy(server.endpoint)
        const simulator = yield* Simulator.make({ symbols, rate: 40, record: where.record })
        const variables = { ...marketsOn(simulator), ...bucket.variables(proxy.endpoint) }

        // killed while the server holds back its answer to the first upload, then to the first verification
        for (const stage of ["upload", "verification"]) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const collector = yield* startReceiving(where, variables)
              const seen = proxy.requests().length
              yield* proxy.inject(stage === "upload" ? "PUT" : "HEAD", { _tag: "Hang" }, 1000)
              yield* eventually(
                () => `an ${stage} that hangs\n${collector.printed()}`,
                Effect.sync(() =>
                  proxy
                    .requests()
                    .slice(seen)
                    .some(({ status }) => status === 0)
                )
              )
              yield* collector.signal("SIGKILL")
              yield* collector.ended
            })
          )
          yield* proxy.heal
          expect(yield* countRows(where.database)).toBeGreaterThan(0)
        }

        yield* simulator.inject({ _tag: "refuse", for: 86_400_000 })
        yield* simulator.flush
        const rowsBefore = yield* databaseRows(where.database)
        const last = yield* startCollector(where, variables)
        yield* allArchived(where, last, rowsBefore.length)
        expect((yield* last.stop()).code).toBe(0)
        yield* archiveNow(where, variables)

        yield* bucket.download(where.archive)
        const rows = yield* archivedRows(where.archive)
        expect(faultsOf(yield* sentMessages(where.record), rows, { mayMiss: true })).toEqual(faultless)
        const stored = new Set(rows.map(keyOf))
        expect(rowsBefore.filter((row) => !stored.has(keyOf(row)))).toEqual([])
        const planned = yield* query<{ key: string }>(
          where.database,
          "SELECT json_extract(payload, '$.plan.key') AS key FROM journal WHERE tag = 'ArchivePlanned' ORDER BY key"
        )
        expect(archiveFiles(where.archive)).toEqual(planned.map(({ key }) => key))
        expect(filesBelow(where.outbox)).toEqual([])
      })
  )
})

const marketsOn = (simulator: Simulator.Simulator): Variables => ({
  MARKETS: symbols.map((symbol) => `binance:${symbol}`).join(),
  BINANCE_WS_URL: simulator.url()
})

/** Adds what the database holds: it was committed. */
const note = (committed: Set<string>, where: Workspace) =>
  Effect.map(
    query<{ key: string }>(
      where.database,
      "SELECT concat_ws(':', exchange, symbol, data_type, exchange_sequence_id) AS key FROM snapshots"
    ),
    (rows) => {
      for (const { key } of rows) committed.add(key)
    }
  )

/** Waits until the newest event of the journal has this tag; for a few seconds only, because events soon follow another. */
const awaitEvent = (where: Workspace, tag: string) =>
  query<{ tag: string }>(where.database, "SELECT tag FROM journal ORDER BY id DESC LIMIT 1").pipe(
    Effect.delay("2 millis"),
    Effect.repeat({ until: (rows) => rows[0]?.tag === tag }),
    Effect.timeoutOption("6 seconds")
  )

/** The messages of a session that are not stored although a later one of their stream is: batches are committed in order. */
const holesIn = (session: ReadonlyArray<SentMessage>, stored: ReadonlySet<string>): ReadonlyArray<string> => {
  const later = new Set<string>()
  const holes: Array<string> = []
  for (const { key } of session.toReversed()) {
    const stream = key.slice(0, key.lastIndexOf(":"))
    if (stored.has(key)) later.add(stream)
    else if (later.has(stream)) holes.push(key)
  }
  return holes
}
