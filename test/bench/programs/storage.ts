import { randomUUID } from "node:crypto"
import { join } from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Duration, Effect, Layer, LogLevel } from "effect"
import * as services from "../../../src/thread/storing.ts"

/** The collector's storage services, as on their thread. They begin with an archive cycle of their own accord. */
export const storageLayer = (database: string, folder: string) =>
  Layer.provide(
    services.layer(
      {
        databasePath: database,
        outboxDirectory: join(folder, "outbox"),
        serverName: "bench",
        archiveInterval: Duration.weeks(1),
        archiveStore: { _tag: "File", directory: join(folder, "archive") },
        logDirectives: { level: LogLevel.Warning, modules: new Map() },
        logDirectory: join(folder, "logs")
      },
      { name: randomUUID(), startedAt: Date.now() * 1000 },
      Effect.never
    ),
    NodeContext.layer
  )
