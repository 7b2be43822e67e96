import type { Duration, LogLevel, Option, Redacted } from "effect"
import type { StreamId } from "./domain/StreamId.ts"

/** Where archives go. */
export type ArchiveStoreSettings =
  | { readonly _tag: "File"; readonly directory: string }
  | {
      readonly _tag: "S3"
      readonly bucket: string
      readonly region: string
      readonly endpoint: Option.Option<URL>
      /** None: the AWS provider chain finds them. */
      readonly credentials: Option.Option<{
        readonly accessKeyId: string
        readonly secretAccessKey: Redacted.Redacted
        readonly sessionToken: Option.Option<Redacted.Redacted>
      }>
    }

/** A level for all modules and levels for some: LOG_LEVEL=info,archive=debug. */
export interface LogDirectives {
  readonly level: LogLevel.LogLevel
  readonly modules: ReadonlyMap<string, LogLevel.LogLevel>
}

/** The settings of the collector, checked. Relative paths are as given. */
export interface Settings {
  /** Every stream once, in the order of MARKETS. */
  readonly streams: ReadonlyArray<StreamId>
  /** `<EXCHANGE>_WS_URL`, by exchange name. */
  readonly endpoints: ReadonlyMap<string, URL>
  readonly batchInterval: Duration.Duration
  /** Snapshots. */
  readonly queueCapacity: number
  /** SILENCE_TIMEOUT: how long a lively stream may say nothing before its connection is made anew. */
  readonly silenceTimeout: Duration.Duration
  readonly databasePath: string
  readonly archiveInterval: Duration.Duration
  readonly archiveStore: ArchiveStoreSettings
  /** Where Parquet files wait until they are verified. */
  readonly outboxDirectory: string
  readonly serverName: string
  readonly logDirectives: LogDirectives
  readonly logDirectory: string
  readonly logRetention: Duration.Duration
  readonly httpHost: string
  readonly httpPort: number
}
