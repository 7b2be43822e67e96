import * as NodeFs from "node:fs"
import { expect } from "@effect/vitest"
import { Clock, Duration, Effect, Layer } from "effect"
import { Archiver } from "../../src/archive/Archiver.ts"
import * as FileArchiveStore from "../../src/archive/FileArchiveStore.ts"
import * as HyparquetWriter from "../../src/archive/HyparquetWriter.ts"
import { StreamConnected } from "../../src/domain/ExchangeEvent.ts"
import type { JournalEvent } from "../../src/domain/JournalEvent.ts"
import type { StreamId } from "../../src/domain/StreamId.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { type JournalLimits, journalLimits } from "../../src/storage/JournalUpkeep.ts"
import * as ProcessLife from "../../src/storage/ProcessLife.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { batchOf, newYear, snapshot, trade } from "./snapshots.ts"
import { storageOn } from "./storage.ts"

/** Records some messages as a server, in as many processes, each of which archives once. */
export const record = (folder: string, server: string, ...processes: ReadonlyArray<ReadonlyArray<number>>) =>
  recordWith({}, folder, server, ...processes)

/**
 * The same; `startedAt`: since when the exchange has taken the streams, microseconds, if that is before their first message; `limits`: how much of the archived journal stays in the database; `from`: when the messages came, microseconds;
 * `isArchived`: whether there are archive cycles, and whether the disk has room for what they write; `events`: what the journal tells besides; `streams`: which have these messages.
 */
export const recordWith = (
  options: {
    readonly limits?: JournalLimits
    readonly from?: number
    readonly isArchived?: boolean | "without rows"
    readonly startedAt?: number
    readonly events?: ReadonlyArray<JournalEvent>
    readonly streams?: ReadonlyArray<StreamId>
  },
  folder: string,
  server: string,
  ...processes: ReadonlyArray<ReadonlyArray<number>>
) =>
  Effect.forEach(processes, (ids, n) =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const journal = yield* EventJournal
      const archiver = yield* Archiver
      const from = options.from ?? newYear
      const streams = options.streams ?? [trade]
      const batch = batchOf(
        ids.flatMap((id) => streams.map((stream) => snapshot(id, stream, { timestamp: from + id * 1000 })))
      )
      const at = options.startedAt ?? batch.blocks[0]?.timestamp[0] ?? 0
      yield* journal.append(
        { _tag: "RecordingStarted", at, streams },
        ...streams.map((stream) => StreamConnected.make({ at, stream, connection: "1" })),
        ...(options.events ?? [])
      )
      yield* repo.append(batch)
      if (options.isArchived !== false) expect((yield* archiver.runCycle).failed).toEqual([])
    }).pipe(
      Effect.provide(
        Archiver.layer({
          serverName: server,
          outboxDirectory: `${folder}/outbox`,
          interval: Duration.hours(1),
          ...(options.isArchived === "without rows" ? { rowsThatFit: Effect.succeed(0) } : {}),
          journal: options.limits ?? journalLimits
        }).pipe(
          Layer.provide(HyparquetWriter.layer()),
          Layer.provide(FileArchiveStore.layer({ directory: `${folder}/archive` })),
          Layer.provideMerge(
            Layer.unwrapEffect(
              Effect.map(Clock.currentTimeMillis, (now) =>
                ProcessLife.layer({ process: { name: `${server}${n}`, startedAt: now * 1000 }, server })
              )
            )
          ),
          Layer.provideMerge(storageOn(`${folder}/${server}.db`))
        )
      )
    )
  )

/** The database file with its WAL, as a copy that was made while nobody used it. */
export const copyDatabase = (from: string, to: string) => {
  for (const suffix of ["", "-wal", "-shm"]) {
    NodeFs.rmSync(`${to}${suffix}`, { force: true })
    if (NodeFs.existsSync(`${from}${suffix}`)) NodeFs.copyFileSync(`${from}${suffix}`, `${to}${suffix}`)
  }
}

/** As if it were so many days after the new year. */
export const onDay = (day: number) => {
  const clock = Clock.make()
  const millis = newYear / 1000 + day * 86_400_000 - Date.now()
  return Effect.withClock({
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis),
    currentTimeNanos: clock.currentTimeNanos,
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + millis,
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
    sleep: clock.sleep
  })
}
