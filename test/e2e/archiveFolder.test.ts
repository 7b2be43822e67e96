import { spawnSync } from "node:child_process"
import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { archiveNow, startReceiving, workspace } from "../support/collector.ts"
import { eventually } from "../support/process.ts"
import { healthOf, statusPageOf } from "../support/statusPage.ts"
import {
  archivedRows,
  archiveFiles,
  countRows,
  faultless,
  faultsOf,
  filesBelow,
  sentMessages
} from "../support/stored.ts"

const run = (program: string, ...options: ReadonlyArray<string>) =>
  spawnSync(program, options, { stdio: "pipe" }).status === 0

/** Why no file system can be mounted here; undefined where one can. */
const noMounts = (() => {
  const folder = NodeFs.mkdtempSync("/tmp/mount-")
  const isMounted = run("mount", "-t", "tmpfs", "tmpfs", folder)
  if (isMounted) run("umount", folder)
  NodeFs.rmdirSync(folder)
  return isMounted ? undefined : "nothing can be mounted here"
})()

/** Records, takes the archive away for several cycles, and brings it back. */
const survives = (disk: {
  readonly prepare?: (archive: string) => void
  readonly takeAway: (archive: string) => void
  readonly bringBack: (archive: string) => void
}) =>
  Effect.gen(function* () {
    const where = yield* workspace
    disk.prepare?.(where.archive)
    const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 30, record: where.record })
    const variables = { MARKETS: "binance:btcusdt", BINANCE_WS_URL: simulator.url() }
    const collector = yield* startReceiving(where, variables)
    yield* eventually(
      () => `some archives\n${collector.printed()}`,
      Effect.sync(() => archiveFiles(where.archive).length > 2)
    )
    const health = healthOf(yield* statusPageOf(collector))
    disk.takeAway(where.archive)
    yield* collector.awaitLine(/ERROR .*archive store is down, .*ARCHIVE_DIR=/)
    yield* eventually(
      () => `it to be degraded\n${collector.printed()}`,
      Effect.map(
        health,
        ({ reasons, status }) => status === "degraded" && reasons.some((one) => one.includes("ARCHIVE_DIR="))
      )
    )
    const before = yield* countRows(where.database)
    // What was being put when it was taken away may lie in its place.
    const inItsPlace = () => (NodeFs.existsSync(where.archive) ? filesBelow(where.archive) : undefined)
    const left = inItsPlace()
    // some cycles
    yield* Effect.sleep("5 seconds")
    expect(yield* countRows(where.database)).toBeGreaterThan(before)
    expect(inItsPlace()).toEqual(left)

    disk.bringBack(where.archive)
    yield* collector.awaitLine(/archive store is back/)
    yield* simulator.inject({ _tag: "silence" })
    yield* simulator.flush
    const sent = yield* sentMessages(where.record)
    yield* Effect.sleep("1 second")
    yield* eventually(
      () => `an empty database\n${collector.printed()}`,
      Effect.map(countRows(where.database), (rows) => rows === 0)
    )
    expect((yield* collector.stop()).code).toBe(0)
    yield* archiveNow(where, variables)
    expect(faultsOf(sent, yield* archivedRows(where.archive))).toEqual(faultless)
    expect(filesBelow(where.outbox)).toEqual([])
  })

describe.concurrent("the archive's folder, while it is in use", () => {
  it.scopedLive("is moved away, and nothing is deleted until it is back", () =>
    survives({
      takeAway: (archive) => NodeFs.renameSync(archive, `${archive}.away`),
      bringBack: (archive) => NodeFs.renameSync(`${archive}.away`, archive)
    })
  )

  it.scopedLive("is replaced by another one, which is left unchanged", () =>
    survives({
      takeAway: (archive) => {
        NodeFs.renameSync(archive, `${archive}.away`)
        NodeFs.mkdirSync(archive)
      },
      bringBack: (archive) => {
        NodeFs.rmSync(archive, { recursive: true })
        NodeFs.renameSync(`${archive}.away`, archive)
      }
    })
  )

  it.scopedLive.skipIf(noMounts !== undefined)(
    `is on a disk that is unmounted${noMounts === undefined ? "" : ` (skipped: ${noMounts})`}`,
    () =>
      Effect.gen(function* () {
        const disk = NodeFs.mkdtempSync("/tmp/disk-")
        const archives: Array<string> = []
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            for (const folder of [...archives, disk]) run("umount", "--lazy", folder)
            NodeFs.rmdirSync(disk)
          })
        )
        run("mount", "-t", "tmpfs", "tmpfs", disk)
        yield* survives({
          prepare: (archive) => {
            NodeFs.mkdirSync(archive, { recursive: true })
            archives.push(archive)
            run("mount", "--bind", disk, archive)
          },
          takeAway: (archive) => run("umount", "--lazy", archive),
          bringBack: (archive) => run("mount", "--bind", disk, archive)
        })
        for (const folder of archives) run("umount", "--lazy", folder)
      })
  )
})
