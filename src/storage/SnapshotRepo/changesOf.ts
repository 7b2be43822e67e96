import { Schema } from "effect"

const RunResult = Schema.Struct({ changes: Schema.Int })
const isRunResult = Schema.is(RunResult)
/** Returns how many rows a statement inserted or deleted. */
export const changesOf = (result: unknown): number => (isRunResult(result) ? result.changes : 0)
