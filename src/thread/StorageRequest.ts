import { Schema } from "effect"
import { Heard, ReceivingEvent } from "../domain/JournalEvent.ts"
import { LastMessage } from "../domain/LastMessage.ts"
import { ProcessId } from "../domain/ProcessId.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { Appended, ArchiverCounts, CycleOutcome } from "../domain/StorageAnswers.ts"
import { StorageSettings } from "../domain/StorageSettings.ts"
import { StorageView } from "../domain/StorageView.ts"
import { StorageError } from "../storage/Storage.ts"
import { Start } from "./Start.ts"

/** What a new thread is given. */
export const WorkerData = Schema.Struct({
  settings: StorageSettings,
  /** The process that it belongs to, the same for all threads that the process starts. */
  process: ProcessId
})

const isBatch = (value: unknown): value is SnapshotBatch =>
  typeof value === "object" && value !== null && "blocks" in value && "streams" in value

/** Crosses unchanged: its columns and payloads are in memory that both threads share. */
const BatchFromSelf = Schema.declare(isBatch)

export class Append extends Schema.TaggedRequest<Append>()("Append", {
  failure: StorageError,
  success: Appended,
  payload: { batch: BatchFromSelf, heard: Schema.optional(Heard) }
}) {}

export class Record extends Schema.TaggedRequest<Record>()("Record", {
  failure: StorageError,
  success: Schema.Void,
  payload: {
    events: Schema.Array(ReceivingEvent),
    aliveAt: Schema.NullOr(Schema.Number),
    heard: Schema.optional(Heard)
  }
}) {}

export class GetLastMessages extends Schema.TaggedRequest<GetLastMessages>()("GetLastMessages", {
  failure: StorageError,
  success: Schema.Array(LastMessage),
  payload: {}
}) {}

export class RunCycle extends Schema.TaggedRequest<RunCycle>()("RunCycle", {
  failure: StorageError,
  success: CycleOutcome,
  payload: {}
}) {}

export class GetArchiverCounts extends Schema.TaggedRequest<GetArchiverCounts>()("GetArchiverCounts", {
  failure: StorageError,
  success: ArchiverCounts,
  payload: {}
}) {}

export class GetView extends Schema.TaggedRequest<GetView>()("GetView", {
  failure: StorageError,
  success: StorageView,
  payload: {}
}) {}

/** The requests to the storage thread. */
export const StorageRequest = Schema.Union(
  Start,
  Append,
  Record,
  GetLastMessages,
  RunCycle,
  GetArchiverCounts,
  GetView
)
export type StorageRequest = typeof StorageRequest.Type
