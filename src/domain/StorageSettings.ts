import { LogLevel, Schema } from "effect"

const Credentials = Schema.Struct({
  accessKeyId: Schema.String,
  secretAccessKey: Schema.Redacted(Schema.String),
  sessionToken: Schema.OptionFromNullOr(Schema.Redacted(Schema.String))
})

/** Where archives go. */
export const ArchiveStoreSettings = Schema.Union(
  Schema.TaggedStruct("File", { directory: Schema.String }),
  Schema.TaggedStruct("S3", {
    bucket: Schema.String,
    region: Schema.String,
    endpoint: Schema.OptionFromNullOr(Schema.URL),
    /** None: the AWS provider chain finds them. */
    credentials: Schema.OptionFromNullOr(Credentials)
  })
)
export type ArchiveStoreSettings = typeof ArchiveStoreSettings.Type

const isLogLevel = (value: unknown): value is LogLevel.LogLevel =>
  LogLevel.allLevels.some((level) => level === value)

const LogLevelFromTag = Schema.transform(
  Schema.Literal("All", "Trace", "Debug", "Info", "Warning", "Error", "Fatal", "None"),
  Schema.declare(isLogLevel),
  { strict: true, decode: LogLevel.fromLiteral, encode: (level) => level._tag }
)

/** A level for all modules and levels for some: LOG_LEVEL=info,archive=debug. */
export const LogDirectives = Schema.Struct({
  level: LogLevelFromTag,
  modules: Schema.ReadonlyMap({ key: Schema.String, value: LogLevelFromTag })
})
export type LogDirectives = typeof LogDirectives.Type

/** 1 GiB. */
export const defaultMinFreeDisk = 1_073_741_824

/** What storage is told: the part of the settings that crosses to its thread. */
export const StorageSettings = Schema.Struct({
  databasePath: Schema.String,
  /** Where Parquet files wait until they are verified. */
  outboxDirectory: Schema.String,
  /** Names this collector in object keys. */
  serverName: Schema.String,
  archiveInterval: Schema.DurationFromMillis,
  archiveStore: ArchiveStoreSettings,
  /** MIN_FREE_DISK, bytes: with less room than this on the database's disk archiving begins at once; 1 GiB if absent. */
  minFreeDisk: Schema.optionalWith(Schema.Number, { exact: true }),
  logDirectives: LogDirectives,
  logDirectory: Schema.String,
  /** Where traces go, if anywhere. */
  otlpEndpoint: Schema.optionalWith(Schema.URL, { exact: true })
})
export type StorageSettings = typeof StorageSettings.Type
