import * as NodePath from "node:path"
import { Effect, type Scope } from "effect"
import { type Child, eventually, makeFolder, runNode, startNode } from "./process.ts"
import { archivedRowsIn, countRows } from "./stored.ts"

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
 * Starts the collector on a workspace, by a command that runs Node if one is given, with short intervals and the folder store unless the variables say otherwise. It
 * finds no credentials and no settings of the machine's user.
 */
export const startCollector = (
  where: Workspace,
  variables: Variables,
  command?: readonly [program: string, ...args: ReadonlyArray<string>]
): Effect.Effect<Child, never, Scope.Scope> =>
  startNode([program], {
    cwd: where.folder,
    env: environment(where, variables),
    ...(command === undefined ? {} : { command })
  })

/** Runs one archive cycle with the settings of a collector that has ended, so that nothing is under way any more. */
export const archiveNow = (where: Workspace, variables: Variables): Effect.Effect<void> =>
  runNode([program, "archive"], {
    cwd: where.folder,
    env: environment(where, variables)
  }).pipe(
    Effect.flatMap(({ code, stderr, stdout }) =>
      code === 0 ? Effect.void : Effect.die(new Error(`archive ended with ${code}\n${stdout}${stderr}`))
    )
  )

/** The settings of a collector on a workspace. */
export const environment = (
  { archive, database, folder, logs }: Workspace,
  variables: Variables
): Variables => ({
  ...isolated(folder),
  BATCH_INTERVAL: "0.5",
  ARCHIVE_INTERVAL: "2",
  DATABASE_PATH: database,
  LOG_DIR: logs,
  HOME_SERVER_NAME: serverName,
  HTTP_PORT: "0",
  ...(variables.BUCKET_NAME === undefined ? { ARCHIVE_STORE: "file", ARCHIVE_DIR: archive } : {}),
  ...variables
})

/** The same, and waits until it is connected. */
export const startReceiving = (
  where: Workspace,
  variables: Variables,
  command?: readonly [program: string, ...args: ReadonlyArray<string>]
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.tap(startCollector(where, variables, command), (collector) => collector.awaitLine(/ connected /))

/** Waits until it has archived so many rows at least, and none waits in the database. */
export const allArchived = (where: Workspace, collector: Child, atLeast: number): Effect.Effect<void> =>
  eventually(
    () => `${atLeast} rows archived, and none waiting\n${collector.printed()}`,
    Effect.map(
      countRows(where.database),
      (waiting) => waiting === 0 && archivedRowsIn(collector.stdout()) >= atLeast
    )
  )

/** An environment in which nothing of the user's own is found. */
export const isolated = (folder: string): Variables => ({
  HOME: folder,
  AWS_EC2_METADATA_DISABLED: "true",
  NO_COLOR: "1"
})
