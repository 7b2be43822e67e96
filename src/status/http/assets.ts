import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"
import { FileSystem, HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"

/** The status page and its files, read once. A build without the page serves everything else. */
export const layer = HttpApiBuilder.Router.use((router) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    for (const { contentType, file, path } of assets) {
      const body = yield* fs.readFile(fileURLToPath(new URL(`./statusPage/${file}`, import.meta.url)))
      const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 16)}"`
      const response = HttpServerResponse.uint8Array(body, {
        contentType,
        headers: { etag, "cache-control": "no-cache" }
      })
      yield* router.get(path, Effect.succeed(response))
    }
  }).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("status page not in this build, serving its data only").pipe(
        Effect.annotateLogs({ reason: error.message })
      )
    )
  )
)

interface Asset {
  readonly path: `/${string}`
  /** In the folder `statusPage` of the build. */
  readonly file: string
  readonly contentType: string
}

const assets: ReadonlyArray<Asset> = [
  { path: "/", file: "index.html", contentType: "text/html; charset=utf-8" },
  { path: "/assets/page.css", file: "page.css", contentType: "text/css; charset=utf-8" },
  { path: "/assets/page.js", file: "page.js", contentType: "text/javascript; charset=utf-8" },
  { path: "/assets/icon.svg", file: "icon.svg", contentType: "image/svg+xml" },
  { path: "/assets/uPlot.css", file: "uPlot.css", contentType: "text/css; charset=utf-8" }
]
