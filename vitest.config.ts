import { readdirSync, readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import { sqliteFor } from "./esbuild.config.js"
import { pace } from "./test/support/pace.ts"

/** Tests that start the built program, or other processes that work hard. */
const processTests = [
  "test/commands/**/*.test.ts",
  "test/e2e/**/*.test.ts",
  "test/status/http/**/*.test.ts",
  "test/status/page.test.ts",
  "test/operations/Tracing.test.ts",
  "test/thread/**/*.test.ts",
  "test/torture/**/*.test.ts"
]

/**
 * What runs by itself, after all others: the soak compares times of receipt with when something was sent, and the status page of
 * thousands of streams has the lowest priority, so that beside other tests there is no saying when it is done.
 */
const soakTests = ["test/soak/**/*.test.ts"]
const manyStreamsTests = ["test/status/http/manyStreams.test.ts"]

/** The modules of Effect that the sources of a folder import. */
const effectModulesOf = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(import.meta.dirname, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(import.meta.dirname, folder, file), "utf8"))
    .flatMap((source) =>
      Array.from(source.matchAll(/ from "(effect|@effect\/[^"]+)"$/gm), ([, name]) => name ?? "")
    )

/** What takes longest, longest first: begun last, one of them would be waited for alone. */
const longest = [
  "e2e/s3",
  "status/http/endpoints",
  "thread/fullDisk",
  "thread/StorageThread",
  "exchange/session",
  "exchange/Conformance",
  "exchange/lifecycle",
  "exchange/ExchangeStream",
  "archive/Archiver"
].map((name) => join(import.meta.dirname, "test", `${name}.test.ts`))

/** Those first; then as usual: by what the last run took, or by size. */
class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>) {
    const place = ({ moduleId }: TestSpecification) => {
      const at = longest.indexOf(moduleId)
      return at < 0 ? longest.length : at
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

const processors = availableParallelism()

export default defineConfig({
  test: {
    // What a test waits for has bounds of its own, which say what was waited for. These are the last resort.
    testTimeout: 900_000 * pace,
    hookTimeout: 900_000 * pace,
    setupFiles: ["test/support/setup.ts"],
    deps: {
      optimizer: {
        // Every process that runs tests loads Effect: in one piece that takes a third of the time.
        ssr: {
          enabled: true,
          include: [...new Set([...effectModulesOf("src"), ...effectModulesOf("test")])],
          esbuildOptions: {
            plugins: [
              {
                name: "not in the piece",
                setup: ({ onResolve }) => {
                  onResolve({ filter: /^(msgpackr|vitest)$/ }, ({ path }) => ({ path, external: true }))
                  onResolve({ filter: /^better-sqlite3$/ }, () => ({
                    path: sqliteFor(process.versions.node.split(".")[0] ?? ""),
                    external: true
                  }))
                }
              }
            ]
          }
        }
      }
    },
    // Not threads: on a busy machine the end of one was lost, and the run waited for ever.
    pool: "forks",
    // Twice as many files as processors: the long ones wait most of the time. A process runs many, one after the other: to
    // start one and to load Effect takes a second of processor time.
    poolOptions: { forks: { isolate: false, minForks: 2 * processors, maxForks: 2 * processors } },
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "units",
          include: ["test/**/*.test.ts"],
          exclude: [...processTests, ...soakTests],
          // Most of them wait most of the time.
          maxConcurrency: 5 * processors,
          sequence: { groupOrder: 0 }
        }
      },
      {
        extends: true,
        test: {
          name: "processes",
          include: processTests,
          exclude: manyStreamsTests,
          maxConcurrency: processors,
          sequence: { groupOrder: 1 }
        }
      },
      { extends: true, test: { name: "soak", include: soakTests, sequence: { groupOrder: 2 } } },
      {
        extends: true,
        test: { name: "many streams", include: manyStreamsTests, sequence: { groupOrder: 3 } }
      }
    ]
  }
})
