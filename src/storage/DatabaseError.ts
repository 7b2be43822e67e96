import { SqlError } from "@effect/sql"
import { Data } from "effect"
import { codeOf } from "../domain/codeOf.ts"
import { reasonOf } from "../domain/reasonOf.ts"

/** A statement or transaction failed: the database is locked, the disk is full or fails, and so on. */
export class DatabaseError extends Data.TaggedError("DatabaseError")<{ readonly cause: unknown }> {
  static readonly from = (cause: unknown): DatabaseError =>
    cause instanceof DatabaseError ? cause : new DatabaseError({ cause })

  /** SQLite's own code, such as SQLITE_BUSY; empty if the error did not come from SQLite. */
  get code(): string {
    return codeOf(sqliteCause(this.cause)) ?? ""
  }
  override get message() {
    const cause = sqliteCause(this.cause)
    const text = reasonOf(cause)
    return this.code === "" ? text : `${this.code}: ${text}`
  }
}

const sqliteCause = (cause: unknown): unknown => (cause instanceof SqlError.SqlError ? cause.cause : cause)
