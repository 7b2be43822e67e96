import { Schema } from "effect"
import { LogDirectives, StorageSettings } from "../../domain/StorageSettings.ts"

/** What the thread of the status page is told: the part of the settings that crosses to it. No secrets. */
export const HttpSettings = Schema.Struct({
  httpHost: Schema.String,
  /** 0: any that is free. */
  httpPort: Schema.Int,
  serverName: Schema.String,
  databasePath: Schema.String,
  outboxDirectory: Schema.String,
  silenceTimeout: Schema.DurationFromMillis,
  archiveInterval: Schema.DurationFromMillis,
  minFreeDisk: StorageSettings.fields.minFreeDisk,
  logDirectives: LogDirectives,
  logDirectory: Schema.String
})
export type HttpSettings = typeof HttpSettings.Type
