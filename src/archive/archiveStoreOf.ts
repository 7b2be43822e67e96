import { Effect, Layer } from "effect"
import type { ArchiveStoreSettings } from "../domain/StorageSettings.ts"
import * as FileArchiveStore from "./FileArchiveStore.ts"

/** The archive store of the settings; `readOnly`: nothing is going to be put into it. The AWS SDK is loaded only for S3. */
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
