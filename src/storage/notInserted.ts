import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import type { Appended } from "../domain/StorageAnswers.ts"
import { streamKey } from "../domain/StreamId.ts"
import type { MessageCount } from "./MessageCounts.ts"
import type { StreamNumber } from "./StreamNumbers.ts"

/**
 * Returns the streams of a batch for which not every message was inserted. `inserted` is what was inserted, `rejected` how many
 * messages the database refused individually, by stream key.
 */
export const notInsertedOf = (
  batch: SnapshotBatch,
  numbers: ReadonlyArray<StreamNumber>,
  inserted: ReadonlyArray<MessageCount>,
  rejected: ReadonlyMap<string, number>
): NonNullable<Appended["exceptions"]> => {
  const missing = new Int32Array(batch.streams.length)
  for (const { length, stream } of batch.blocks) {
    for (let i = 0; i < length; i++) {
      const position = stream[i] ?? 0
      missing[position] = (missing[position] ?? 0) + 1
    }
  }
  const positions = new Map(numbers.map((number, position) => [number, position]))
  for (const { messages, stream } of inserted) {
    const position = positions.get(stream)
    if (position !== undefined) missing[position] = (missing[position] ?? 0) - messages
  }
  return batch.streams.flatMap((id, stream) => {
    const refused = rejected.get(streamKey(id)) ?? 0
    const duplicates = (missing[stream] ?? 0) - refused
    return duplicates + refused > 0 ? [{ stream, duplicates, rejected: refused }] : []
  })
}
