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
    /** If none, the AWS provider chain finds them. */
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

/** A level for all modules and levels for individual ones: LOG_LEVEL=info,archive=debug. */
export const LogDirectives = Schema.Struct({
  level: LogLevelFromTag,
  modules: Schema.ReadonlyMap({ key: Schema.String, value: LogLevelFromTag })
})
export type LogDirectives = typeof LogDirectives.Type

/** 1 GiB. */
export const defaultMinFreeDisk = 1_073_741_824

/** The part of the settings that crosses to the storage thread. */
export const StorageSettings = Schema.Struct({
  databasePath: Schema.String,
  /** Where Parquet files are kept until they are verified. */
  outboxDirectory: Schema.String,
  /** Identifies this collector in object keys. */
  serverName: Schema.String,
  archiveInterval: Schema.DurationFromMillis,
  archiveStore: ArchiveStoreSettings,
  /** MIN_FREE_DISK, bytes: with less free space than this on the database's disk, archiving starts at once; 1 GiB if absent. */
  minFreeDisk: Schema.optionalWith(Schema.Number, { exact: true }),
  logDirectives: LogDirectives,
  logDirectory: Schema.String,
  /** Where traces are sent, if anywhere. */
  otlpEndpoint: Schema.optionalWith(Schema.URL, { exact: true })
})
export type StorageSettings = typeof StorageSettings.Type
