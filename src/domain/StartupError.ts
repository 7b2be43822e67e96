import { Data } from "effect"

/** Settings that are missing or malformed; one line each, naming the setting, what it was and what is allowed. */
export class SettingsInvalid extends Data.TaggedError("SettingsInvalid")<{
  readonly problems: ReadonlyArray<string>
}> {
  override get message() {
    return this.problems.join("\n")
  }
}

/** The database cannot be opened, is none, or belongs to a newer version. */
export class DatabaseUnusable extends Data.TaggedError("DatabaseUnusable")<{
  readonly path: string
  readonly reason: string
}> {
  override get message() {
    return `DATABASE_PATH=${this.path}: ${this.reason}`
  }
}

/** The archive store refused the credentials, or its folder cannot be written. `reason` names the setting. */
export class ArchiveStoreUnusable extends Data.TaggedError("ArchiveStoreUnusable")<{
  readonly reason: string
}> {
  override get message() {
    return this.reason
  }
}

/** Another collector uses the same database, a port is taken, a log folder cannot be written, and so on. */
export class ResourceUnavailable extends Data.TaggedError("ResourceUnavailable")<{
  readonly reason: string
}> {
  override get message() {
    return this.reason
  }
}

/** Whatever may end the start of the collector: one clear line on stderr and exit code 1. */
export type StartupError = SettingsInvalid | DatabaseUnusable | ArchiveStoreUnusable | ResourceUnavailable
