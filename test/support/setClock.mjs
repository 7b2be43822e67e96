// For `node --import`: the wall clock of the process is off by as many milliseconds as the file CLOCK_OFFSET says, on all threads.
import { readFileSync, watchFile } from "node:fs"

const file = process.env.CLOCK_OFFSET ?? ""
const now = Date.now
let offset = 0
const read = () => {
  try {
    offset = Number(readFileSync(file, "utf8"))
  } catch {
    offset = 0
  }
}
read()
watchFile(file, { interval: 50, persistent: false }, read)
Date.now = () => now() + offset
