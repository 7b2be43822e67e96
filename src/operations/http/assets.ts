import { createHash } from "node:crypto"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { FileSystem, HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"

/** The status page and what it is made of, read once. A build without the page serves all the rest. */
export const layer = HttpApiBuilder.Router.use((router) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const scripts = (yield* fs.readDirectory(page("browser"))).filter((name) => name.endsWith(".js"))
    for (const { contentType, file, path } of [...assets, ...scripts.map(script)]) {
      const body = yield* fs.readFile(file)
      const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 16)}"`
      const response = HttpServerResponse.uint8Array(body, {
        contentType,
        headers: { etag, "cache-control": "no-cache" }
      })
      yield* router.get(path, Effect.succeed(response))
    }
  }).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("the status page is not in this build, its data are").pipe(
        Effect.annotateLogs({ reason: error.message })
      )
    )
  )
)

interface Asset {
  readonly path: `/${string}`
  readonly file: string
  readonly contentType: string
}

const page = (name: string) => fileURLToPath(new URL(`../statusPage/${name}`, import.meta.url))

const uPlot = (name: string) => createRequire(import.meta.url).resolve(`uplot/dist/${name}`)

const script = (name: string): Asset => ({
  path: `/assets/${name}`,
  file: page(`browser/${name}`),
  contentType: javaScript
})

const javaScript = "text/javascript; charset=utf-8"

const assets: ReadonlyArray<Asset> = [
  { path: "/", file: page("index.html"), contentType: "text/html; charset=utf-8" },
  { path: "/assets/page.css", file: page("page.css"), contentType: "text/css; charset=utf-8" },
  { path: "/assets/icon.svg", file: page("icon.svg"), contentType: "image/svg+xml" },
  { path: "/assets/uPlot.esm.js", file: uPlot("uPlot.esm.js"), contentType: javaScript },
  { path: "/assets/uPlot.css", file: uPlot("uPlot.min.css"), contentType: "text/css; charset=utf-8" }
]
