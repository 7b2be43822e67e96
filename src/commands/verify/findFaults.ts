import type { SqlError } from "@effect/sql"
import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Clock, Effect, Option, Stream } from "effect"
import { readCheckpoint } from "../../archive/ArchivedCheckpoint.ts"
import { ArchiveStore } from "../../archive/ArchiveStore.ts"
import { isProbe, journalPrefix, millisOfArchiveId, parseKey } from "../../domain/Archive.ts"
import type { JournalEvent } from "../../domain/JournalEvent.ts"
import type { Window } from "../../domain/Window.ts"
import { pagesAfter } from "../../storage/pagesAfter.ts"
import { temporaryDatabase } from "../../storage/temporaryDatabase.ts"
import { wholeJournals } from "../journals.ts"
import type { Reading } from "../reading.ts"
import { makeSetBacks } from "../setBacks.ts"
import { makeContentCheck } from "./checkContent.ts"
import type { Expected } from "./Expected.ts"

/** An object that is not as it should be, or whose state is unknown. */
export interface Finding {
  /**
   * `missing`: it is not there. `damaged`: it is there, with other content. `unknown`: no journal knows it, or the archive was
   * given up because of it. `newer`: not a fault, it is newer than what is known of its server's journal.
   */
  readonly kind: "missing" | "damaged" | "unknown" | "newer"
  readonly key: string
  readonly reason: string
}

export interface Findings {
  /** Verified archives of rows that are as they should be, and their rows and bytes. */
  readonly archives: number
  readonly rows: number
  readonly bytes: number
  /** Parts of the journal that are as they should be. */
  readonly segments: number
  /** Archives that were planned but are not finished. */
  readonly pending: number
  /** Objects of a known server that are newer than what is known of its journal. */
  readonly newer: number
  readonly faults: number
  /** The first of the faults and of the newer objects. */
  readonly findings: ReadonlyArray<Finding>
}

/**
 * Compares everything the journals know with everything the store has. `onFinding` receives every finding. What is
 * expected is kept in a scratch file, so that memory does not grow with the archive.
 */
export const findFaults = (
  reading: Reading,
  options: { readonly deep: boolean; readonly onFinding: (finding: Finding) => Effect.Effect<void> }
) =>
  Effect.gen(function* () {
    const store = yield* ArchiveStore
    const scratch = yield* temporaryDatabase(`${reading.folder}/expected.db`)
    yield* scratch`
      CREATE TABLE expected (key TEXT PRIMARY KEY, archive_id TEXT UNIQUE, server TEXT, is_rows INTEGER,
        verified INTEGER DEFAULT 0, abandoned INTEGER DEFAULT 0, rows INTEGER, size INTEGER, sha256 TEXT) WITHOUT ROWID`

    const findings: Array<Finding> = []
    const sums = { archives: 0, rows: 0, bytes: 0, segments: 0, pending: 0, newer: 0, faults: 0 }
    const find = (finding: Finding) => {
      if (findings.length < maxFindings) findings.push(finding)
      return options.onFinding(finding)
    }
    const fault = (finding: Finding) => {
      sums.faults++
      return find(finding)
    }

    const unreadable = new Set<string>()
    const journals = yield* wholeJournals(reading, {
      orElse: Effect.fail,
      onDamaged: ({ key, reason }) => {
        unreadable.add(key)
        return fault({ kind: "damaged", key, reason: `its entries cannot be read: ${reason}` })
      }
    })
    /** By the names of servers and of journals. */
    const knownUntil = new Map<string, number>()
    const setBacks = new Map<string, ReadonlyArray<Window>>()
    for (const { begin, entries, journal, server, servers } of journals) {
      let latest = 0
      let last = (yield* begin).after
      const clock = makeSetBacks()
      yield* Stream.runForEach(entries, ({ at, event, id, isKept }) => {
        clock.hear({ at, event, id })
        latest = Math.max(latest, at)
        const after = last
        if (id > 0 && isKept !== true) last = id
        const told = expect(scratch, server, event)
        return id > after + 1 && isKept !== true
          ? Effect.zipRight(
              fault({
                kind: "missing",
                key: `${journalPrefix} (${server}_${journal})`,
                reason: `no part has the entries ${after + 1} to ${id - 1}`
              }),
              told
            )
          : told
      })
      setBacks.set(server, [...(setBacks.get(server) ?? []), ...clock.windows()])
      for (const name of [...servers, journal]) {
        knownUntil.set(name, Math.max(knownUntil.get(name) ?? 0, latest))
      }
    }

    const checkContent = yield* makeContentCheck(scratch, reading.folder, setBacks)
    const check = (expected: Expected) =>
      Effect.gen(function* () {
        const { key, rows, sha256, size } = expected
        if (unreadable.has(key)) return
        const stored = yield* store.head(key)
        if (Option.isNone(stored)) return yield* fault({ kind: "missing", key, reason: "" })
        const found = Option.getOrElse(stored.value.sha256, () => sha256)
        const reason =
          stored.value.size !== size
            ? `it has ${stored.value.size} bytes instead of ${size}`
            : found !== sha256
              ? `its SHA-256 is ${found} instead of ${sha256}`
              : options.deep
                ? yield* checkContent(expected)
                : undefined
        if (reason !== undefined) return yield* fault({ kind: "damaged", key, reason })
        if (expected.is_rows === 0) sums.segments++
        else {
          sums.archives++
          sums.rows += rows ?? 0
          sums.bytes += size ?? 0
        }
      })

    yield* expectedObjects(scratch).pipe(
      Stream.mapEffect(
        (expected) => (expected.verified === 1 ? check(expected) : Effect.sync(() => sums.pending++)),
        {
          concurrency: options.deep ? 1 : requestsAtOnce
        }
      ),
      Stream.runDrain
    )

    const latestPlausible = (yield* Clock.currentTimeMillis) + clockDifferenceMillis
    yield* Stream.runForEach(store.list(""), ({ key }) =>
      Effect.gen(function* () {
        const [known] = yield* scratch<{
          abandoned: number
        }>`SELECT abandoned FROM expected WHERE key = ${key}`
        if (known?.abandoned === 1) {
          return yield* fault({
            kind: "unknown",
            key,
            reason: "it is not what was to be there, and what was is in another object: it can be removed"
          })
        }
        if (known !== undefined || unreadable.has(key) || isProbe(key)) return
        const parsed = parseKey(key)
        if (parsed?._tag === "Checkpoint" && knownUntil.has(parsed.journal)) {
          return options.deep && Option.isNone(yield* readCheckpoint(key, parsed))
            ? yield* fault({ kind: "damaged", key, reason: "it cannot be read, and can be removed" })
            : undefined
        }
        const madeAt = parsed === undefined ? 0 : millisOfArchiveId(parsed.archiveId)
        // What a journal does not know of its own last part, which another database has, does not concern the server's newer
        // one.
        const until = knownUntil.get((parsed?._tag === "Archive" ? parsed.server : parsed?.journal) ?? "")
        if (until === undefined || madeAt * 1000 < until || madeAt > latestPlausible) {
          return yield* fault({ kind: "unknown", key, reason: "no journal knows it" })
        }
        sums.newer++
        yield* find({ kind: "newer", key, reason: "" })
      })
    )
    return { ...sums, findings } satisfies Findings
  }).pipe(Effect.provide(reading.services))

/** The maximum difference between the clocks of servers. */
const clockDifferenceMillis = 300_000

const requestsAtOnce = 64
const maxFindings = 1000
const expectedPerPage = 500

const expect = (
  scratch: SqliteClient.SqliteClient,
  server: string,
  event: JournalEvent
): Effect.Effect<unknown, SqlError.SqlError> => {
  switch (event._tag) {
    case "ArchivePlanned":
    case "JournalSegmentPlanned": {
      const { archiveId, key } = event.plan
      const isRows = event._tag === "ArchivePlanned" ? 1 : 0
      return scratch`
        INSERT INTO expected (key, archive_id, server, is_rows)
        VALUES (${key}, ${archiveId}, ${server}, ${isRows}) ON CONFLICT DO NOTHING`
    }
    case "ArchiveWritten": {
      const { rows, sha256, size } = event.file
      return scratch`
        UPDATE expected SET rows = ${rows}, size = ${size}, sha256 = ${sha256}
        WHERE archive_id = ${event.archiveId}`
    }
    case "ArchiveVerified":
      return scratch`UPDATE expected SET verified = 1 WHERE archive_id = ${event.archiveId}`
    case "ArchiveAbandoned":
      return scratch`UPDATE expected SET abandoned = 1 WHERE archive_id = ${event.archiveId}`
    case "ArchiveFailed":
      return event.stage === "verify"
        ? scratch`UPDATE expected SET verified = 0 WHERE archive_id = ${event.archiveId}`
        : Effect.void
    default:
      return Effect.void
  }
}

/** What the store is expected to have, in the order of the keys. */
const expectedObjects = (scratch: SqliteClient.SqliteClient) =>
  pagesAfter({
    start: "",
    limit: expectedPerPage,
    page: (after) =>
      scratch<Expected>`
        SELECT * FROM expected WHERE key > ${after} AND abandoned = 0 ORDER BY key LIMIT ${expectedPerPage}`,
    keyOf: ({ key }) => key
  }).pipe(Stream.flattenIterables)
