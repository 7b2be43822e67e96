import { Schema } from "effect"
import { ArchiveStoreSettings, LogDirectives, StorageSettings } from "../../domain/StorageSettings.ts"

/**
 * What the thread of the status page is told: the part of the settings that crosses to it. Secrets are those of the archive,
 * which its journal is read from.
 */
export const HttpSettings = Schema.Struct({
  httpHost: Schema.String,
  /** Other names than its own that it is asked for by; `*`: any. */
  httpAllowedHosts: Schema.Array(Schema.String),
  /** 0: any that is free. */
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
