import * as NodePath from "node:path"
import { Effect, type Scope } from "effect"
import { type Child, makeFolder, startNode } from "./process.ts"

/** The built program: `npm test` builds it first. */
export const program = NodePath.resolve(import.meta.dirname, "../../dist/main.js")

/** Where a collector of a test keeps its things; all below one folder that is removed with the scope. */
export interface Workspace {
  readonly folder: string
  readonly database: string
  readonly archive: string
  readonly outbox: string
  readonly logs: string
  /** For the simulator. */
  readonly record: string
}

export const workspace: Effect.Effect<Workspace, never, Scope.Scope> = Effect.map(makeFolder, (folder) => ({
  folder,
  database: `${folder}/data/collector.db`,
  archive: `${folder}/archive`,
  outbox: `${folder}/data/outbox`,
  logs: `${folder}/logs`,
  record: `${folder}/sent.jsonl`
}))

export type Variables = Readonly<Record<string, string>>

/** Names this collector in keys. */
export const serverName = "e2e-server"

/**
 * Starts the collector on a workspace, with short intervals and the folder store unless the variables say otherwise. It
 * finds no credentials and no settings of the machine's user.
 */
export const startCollector = (
  { archive, database, folder, logs }: Workspace,
  variables: Variables
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.gen(function* () {
    const isS3 = variables.BUCKET_NAME !== undefined
    return yield* startNode([program], {
      cwd: folder,
      env: {
        ...isolated(folder),
        BATCH_INTERVAL: "0.5",
        ARCHIVE_INTERVAL: "2",
        DATABASE_PATH: database,
        LOG_DIR: logs,
        HOME_SERVER_NAME: serverName,
        HTTP_PORT: "0",
        ...(isS3 ? {} : { ARCHIVE_STORE: "file", ARCHIVE_DIR: archive }),
        ...variables
      }
    })
  })

/** The same, and waits until it is connected. */
export const startReceiving = (
  where: Workspace,
  variables: Variables
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.tap(startCollector(where, variables), (collector) => collector.awaitLine(/ connected /))

/** An environment in which nothing of the user's own is found. */
export const isolated = (folder: string): Variables => ({
  HOME: folder,
  AWS_EC2_METADATA_DISABLED: "true",
  NO_COLOR: "1"
})
