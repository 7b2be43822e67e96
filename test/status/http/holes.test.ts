import * as NodeFs from "node:fs"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Layer, LogLevel, Option } from "effect"
import type { Past } from "../../../src/status/http/Past.ts"
import { pastFile } from "../../../src/status/http/pastFile.ts"
import { RecentCoverage } from "../../../src/status/http/RecentCoverage.ts"
import { eventually, makeFolder } from "../../support/process.ts"
import { copyDatabase, recordWith } from "../../support/recorded.ts"
import { filesBelow } from "../../support/stored.ts"

/** What the status page of a server says once that is so. */
const coverageWhen = (folder: string, what: string, isSo: (past: Past) => boolean) =>
  Effect.gen(function* () {
    const holes = yield* RecentCoverage
    yield* eventually(
      what,
      Effect.map(holes.known, ({ past, reading }) => reading === null && isSo(past))
    )
  }).pipe(
    Effect.provide(
      RecentCoverage.layer({
        httpHost: "127.0.0.1",
        httpAllowedHosts: [],
        httpPort: 0,
        serverName: "a",
        outboxDirectory: `${folder}/outbox`,
        silenceTimeout: Duration.minutes(1),
        archiveInterval: Duration.hours(1),
        logDirectives: { level: LogLevel.Error, modules: new Map() },
        logDirectory: folder,
        databasePath: `${folder}/a.db`,
        archiveStore: { _tag: "File", directory: `${folder}/archive` }
      }).pipe(Layer.provide(NodeContext.layer))
    )
  )

const recently = { from: Date.now() * 1000 - 60_000_000 }

const always = { from: 0, to: Number.POSITIVE_INFINITY }

const messagesIn = (past: Past) => {
  const thisHour = Math.floor(Date.now() / 3_600_000)
  return past
    .keys()
    .reduce((sum, key) => sum + past.messages(key, thisHour - 1, 2).reduce((all, n) => all + n, 0), 0)
}

const isInDoubt = (past: Past) =>
  past
    .keys()
    .some((key) =>
      Option.exists(past.stream(key, always), ({ doubts }) =>
        Chunk.some(doubts, ({ reason }) => reason === "journal")
      )
    )

/** As a collector that did not know anything before. */
const forget = (folder: string) => NodeFs.rmSync(pastFile(`${folder}/a.db`), { force: true })

describe.concurrent("the status page's heat map", () => {
  it.scopedLive("is in doubt if a part of the journal is missing from the archive", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordWith(
        { ...recently, limits: { millis: 0, entries: 0 } },
        folder,
        "a",
        [1, 2, 3],
        [4, 5],
        [6, 7]
      )
      yield* coverageWhen(folder, "all of it", (past) => messagesIn(past) === 7 && !isInDoubt(past))
      const parts = filesBelow(`${folder}/archive`).filter((file) => /^_journal\/.*\.journal$/.test(file))
      NodeFs.rmSync(`${folder}/archive/${parts[1]}`)
      forget(folder)
      yield* coverageWhen(folder, "doubt", (past) => messagesIn(past) === 5 && isInDoubt(past))
      NodeFs.rmSync(`${folder}/archive`, { recursive: true })
      forget(folder)
      yield* coverageWhen(folder, "doubt", (past) => {
        const { lastSeen, missing } = past.shown()
        return lastSeen > 0 && (Chunk.isNonEmpty(missing) || past.knownFrom() > 0)
      })
    })
  )

  it.scopedLive("includes what was recorded before and after a copy of the database was restored", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordWith(recently, folder, "a", [1, 2, 3])
      copyDatabase(`${folder}/a.db`, `${folder}/copy.db`)
      yield* recordWith(recently, folder, "a", [4, 5])
      copyDatabase(`${folder}/copy.db`, `${folder}/a.db`)
      yield* recordWith(recently, folder, "a", [6, 7, 8, 9])
      yield* coverageWhen(folder, "both, with doubt", (past) => messagesIn(past) === 9 && isInDoubt(past))
    })
  )
})
