import { Schema } from "effect"

/** Settings are missing or malformed; one line for each, naming the setting, its value and what is allowed. */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  problems: Schema.Array(Schema.String)
}) {
  override get message() {
    return this.problems.join("\n")
  }
}

/** The database cannot be opened, is not a database, or belongs to a newer version. */
export class DatabaseUnusable extends Schema.TaggedError<DatabaseUnusable>()("DatabaseUnusable", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `DATABASE_PATH=${this.path}: ${this.reason}`
  }
}

/** The archive store refused the credentials, or its folder cannot be written. `reason` names the setting. */
export class ArchiveStoreUnusable extends Schema.TaggedError<ArchiveStoreUnusable>()("ArchiveStoreUnusable", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** Another collector uses the same database, a port is taken, a log folder cannot be written, and so on. */
export class ResourceUnavailable extends Schema.TaggedError<ResourceUnavailable>()("ResourceUnavailable", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** Any reason for which the collector cannot start: one clear line on stderr and exit code 1. */
export const StartupError = Schema.Union(
  SettingsInvalid,
  DatabaseUnusable,
  ArchiveStoreUnusable,
  ResourceUnavailable
)
export type StartupError = typeof StartupError.Type
