import { existsSync } from "node:fs"
import * as Module from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startEarly } from "./thread/startThread.ts"
import { version } from "./version.ts"

/*
 * `dist/main.js`: what runs before the program is loaded. Node 22 and later keep the compiled code of all threads in the folder
 * NODE_COMPILE_CACHE, by default where Node itself would.
 */
const temporary = tmpdir()
// The folder for temporary files is not ours to create.
if (existsSync(temporary)) {
  process.env.NODE_COMPILE_CACHE ??= join(temporary, "node-compile-cache")
  Module.enableCompileCache?.(process.env.NODE_COMPILE_CACHE)
}

const [, , ...args] = process.argv
if (args.length === 1 && args[0] === "--version") {
  process.stdout.write(`${version}\n`)
} else {
  const storageThread =
    args.length === 0 ? startEarly(new URL("./storageThread.js", import.meta.url)) : undefined
  const { main } = await import("./main.ts")
  main(process.argv, storageThread)
}
