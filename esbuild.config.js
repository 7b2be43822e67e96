import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

/*
 * `npm run build`: bundles the program into dist, so that a start reads a few files and not the thousands of its packages.
 * Every thread has an entry point of its own; what they share, and what only one command needs, is in chunks beside them.
 * Native packages stay outside. `npm run build -- bench` bundles the benchmark instead.
 */

const root = fileURLToPath(new URL(".", import.meta.url))
const dist = join(root, "dist")
const page = "src/status/page"

/**
 * Reads `import { Effect } from "effect"` as `import * as Effect from "effect/Effect"`, and so on for all of Effect's
 * packages: a thread that imports their index would load whatever any thread uses of them.
 *
 * @type {import("esbuild").Plugin}
 */
const importsOfModules = {
  name: "imports of modules",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\.ts$/, namespace: "file" }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replaceAll(
        /^import \{([^}]*)\} from "(effect|@effect\/[^/"]+)"$/gm,
        (_, names, from) => importsOf(names, from)
      ),
      loader: "ts"
    }))
  }
}

/**
 * As many lines as before, for the source maps.
 *
 * @param {string} names
 * @param {string} from
 */
const importsOf = (names, from) => {
  const lines = names.split("\n").map((line) =>
    line
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "" && !name.startsWith("type "))
      .map((name) =>
        /^[A-Z]\w*$/.test(name)
          ? `import * as ${name} from "${from}/${name}";`
          : `import { ${name} } from "${from}";`
      )
      .join("")
  )
  return lines.join("\n")
}

/**
 * better-sqlite3 12 for Node 20, 13 for all later ones: built for Node 24.21 and later, 12 ends the process in a garbage
 * collection (their ObjectWrap asks for the environment where there is none), and 13 crashes on Node 20.
 *
 * @param {string} major Node's
 */
export const sqliteFor = (major) => (Number(major) >= 22 ? "better-sqlite3-13" : "better-sqlite3")

/** @type {import("esbuild").Plugin} */
const sqlite = {
  name: "sqlite",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^better-sqlite3$/ }, ({ path }) => ({ path, namespace: "sqlite" }))
    onLoad({ filter: /.*/, namespace: "sqlite" }, () => ({
      contents: `export default require((${sqliteFor})(process.versions.node.split(".")[0]))`
    }))
  }
}

/**
 * How code for Node is bundled, the tests' and the benchmark's too.
 *
 * @satisfies {import("esbuild").BuildOptions}
 */
export const forNode = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20.19",
  // A package's ES modules, where it has them: of these only what is used gets into the bundle.
  mainFields: ["module", "main"],
  // What is native, and what `ws` asks for in vain.
  external: ["better-sqlite3-13", "zstd-napi", "bufferutil", "utf-8-validate"],
  // CommonJS packages call `require` for what belongs to Node.
  banner: {
    js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);'
  },
  plugins: [importsOfModules, sqlite],
  sourcemap: true,
  sourcesContent: false
}

const buildProgram = async () => {
  await rm(dist, { recursive: true, force: true })
  const { metafile } = await build({
    ...forNode,
    entryPoints: {
      main: "src/launch.ts",
      storageThread: "src/thread/worker.ts",
      statusPageThread: "src/status/http/worker.ts"
    },
    outdir: dist,
    splitting: true,
    // All in one folder: whatever chunk the code is in, threads are beside it.
    chunkNames: "[name]-[hash]",
    minify: true,
    legalComments: "none",
    metafile: true
  })
  const browser = await build({
    absWorkingDir: root,
    entryPoints: [`${page}/browser/page.ts`],
    outdir: join(dist, "statusPage"),
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    metafile: true
  })
  await copyPage()
  await writeFile(join(dist, "LICENSES.txt"), await licensesOf([metafile, browser.metafile]))
}

const copyPage = async () => {
  const target = join(dist, "statusPage")
  await mkdir(target, { recursive: true })
  for (const file of ["index.html", "page.css", "icon.svg"]) {
    await copyFile(join(root, page, file), join(target, file))
  }
  await copyFile(join(root, "node_modules/uplot/dist/uPlot.min.css"), join(target, "uPlot.css"))
}

/**
 * The licences of all packages of which something is in the bundles, as these demand.
 *
 * @param {ReadonlyArray<import("esbuild").Metafile>} metafiles
 */
const licensesOf = async (metafiles) => {
  const inputs = metafiles
    .flatMap(({ outputs }) => Object.values(outputs))
    .flatMap((output) => Object.entries(output.inputs))
    .flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []))
  const folders = new Set(
    inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? [])
  )
  const texts = await Promise.all(
    [...folders].sort().map(async (folder) => {
      const { license, name, version } = JSON.parse(
        await readFile(join(root, folder, "package.json"), "utf8")
      )
      const files = (await readdir(join(root, folder))).filter((file) => /^(licen[cs]e|notice)/i.test(file))
      const parts = await Promise.all(files.map((file) => readFile(join(root, folder, file), "utf8")))
      return [`${name} ${version} (${license})`, ...parts.map((part) => part.trim())].join("\n\n")
    })
  )
  return `${texts.join(`\n\n${"-".repeat(100)}\n\n`)}\n`
}

/** The benchmark and the programs that it starts, each in one file. */
const buildBench = async () => {
  const programs = await readdir(join(root, "test/bench/programs"))
  await build({
    ...forNode,
    entryPoints: ["test/bench/main.ts", ...programs.map((file) => `test/bench/programs/${file}`)],
    external: [...forNode.external, "@duckdb/node-api"],
    outbase: "test/bench",
    outdir: "dist-bench"
  })
}

if (process.argv[1] !== undefined && relative(process.argv[1], fileURLToPath(import.meta.url)) === "") {
  await (process.argv[2] === "bench" ? buildBench() : buildProgram())
}
