import { Effect, Layer } from "effect"
import type { ArchiveStoreSettings } from "../domain/StorageSettings.ts"
import * as FileArchiveStore from "./FileArchiveStore.ts"

/** The archive store described by the settings; `readOnly`: nothing will be put into it. The AWS SDK is loaded only for S3. */
export const archiveStoreOf = (
  settings: ArchiveStoreSettings,
  options: { readonly readOnly?: boolean } = {}
) =>
  settings._tag === "S3"
    ? Layer.unwrapEffect(
        Effect.map(
          Effect.promise(() => import("./S3ArchiveStore.ts")),
          (S3ArchiveStore) => S3ArchiveStore.layer(settings, options)
        )
      )
    : FileArchiveStore.layer({ directory: settings.directory, ...options })
