import { Schema } from "effect"
import { ArchiveStoreSettings, LogDirectives, StorageSettings } from "../../domain/StorageSettings.ts"

/**
 * The part of the settings that crosses to the thread of the status page. The only secrets are those of the archive, from which
 * the thread reads the journal.
 */
export const HttpSettings = Schema.Struct({
  httpHost: Schema.String,
  /** Host names other than its own under which it can be requested; `*`: any. */
  httpAllowedHosts: Schema.Array(Schema.String),
  /** 0: any free port. */
  httpPort: Schema.Int,
  serverName: Schema.String,
  databasePath: Schema.String,
  outboxDirectory: Schema.String,
  archiveStore: ArchiveStoreSettings,
  silenceTimeout: Schema.DurationFromMillis,
  archiveInterval: Schema.DurationFromMillis,
  minFreeDisk: StorageSettings.fields.minFreeDisk,
  logDirectives: LogDirectives,
  logDirectory: Schema.String
})
export type HttpSettings = typeof HttpSettings.Type
