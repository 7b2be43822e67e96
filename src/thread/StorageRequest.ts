import { Transferable } from "@effect/platform"
import { Schema } from "effect"
import type { SnapshotBatch, SnapshotBlock } from "../domain/SnapshotBatch.ts"
import { StartupError } from "../domain/StartupError.ts"
import { Appended, ArchiverCounts, CycleReport } from "../domain/StorageReport.ts"
import { StorageError } from "./Storage.ts"

/** Opens the database and begins archiving: the first request to a new thread, under the name that runners know it by. */
export class Start extends Schema.TaggedRequest<Start>()("InitialMessage", {
  failure: StartupError,
  success: Schema.Void,
  payload: {}
}) {}

const isBatch = (value: unknown): value is SnapshotBatch =>
  typeof value === "object" && value !== null && "blocks" in value && "streams" in value

/** Crosses as it is; the buffers move, they are not copied. */
const BatchFromSelf = Transferable.schema(Schema.declare(isBatch), (batch) =>
  batch.blocks.flatMap((block) =>
    [
      block.stream.buffer,
      block.timestamp.buffer,
      block.exchangeTimestamp.buffer,
      block.ends.buffer,
      block.bytes.buffer
    ].filter((buffer) => buffer instanceof ArrayBuffer)
  )
)

export class Append extends Schema.TaggedRequest<Append>()("Append", {
  failure: StorageError,
  success: Appended,
  payload: { batch: BatchFromSelf }
}) {}

export class RunCycle extends Schema.TaggedRequest<RunCycle>()("RunCycle", {
  failure: StorageError,
  success: CycleReport,
  payload: {}
}) {}

export class GetArchiverCounts extends Schema.TaggedRequest<GetArchiverCounts>()("GetArchiverCounts", {
  failure: StorageError,
  success: ArchiverCounts,
  payload: {}
}) {}

/** What the storage thread is asked. */
export const StorageRequest = Schema.Union(Start, Append, RunCycle, GetArchiverCounts)
export type StorageRequest = typeof StorageRequest.Type

/** A copy of a batch that may be moved to another thread, no larger than it needs to be. */
export const copyOf = (batch: SnapshotBatch): SnapshotBatch => ({
  ...batch,
  blocks: batch.blocks.map(copyOfBlock)
})

const copyOfBlock = (block: SnapshotBlock): SnapshotBlock => ({
  length: block.length,
  stream: block.stream.slice(0, block.length),
  timestamp: block.timestamp.slice(0, block.length),
  exchangeTimestamp: block.exchangeTimestamp.slice(0, block.length),
  exchangeSequenceId: block.exchangeSequenceId,
  ends: block.ends.slice(0, block.length),
  bytes: block.bytes.slice(0, block.ends[block.length - 1] ?? 0)
})
