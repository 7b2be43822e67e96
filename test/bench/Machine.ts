import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"

/** Processes that belong to the benchmark, besides its own. */
export const ownProcesses = new Set<number>()

/** What happened on the machine while something ran. */
export interface Load {
  readonly seconds: number
  /** Processor time that processes other than ours took, as a number of processors. */
  readonly others: number
}

/** Above this many processors taken by others a figure says more about them. */
export const noisyAbove = 0.15

export const measureLoad = async <A>(run: () => Promise<A>): Promise<readonly [A, Load]> => {
  const before = readProcessors()
  const result = await run()
  return [result, loadSince(before)]
}

/** Waits until others leave the processors alone, for at most `seconds`. */
export const awaitQuiet = async (seconds: number): Promise<void> => {
  const end = performance.now() + seconds * 1000
  do {
    const before = readProcessors()
    await sleep(500)
    if (loadSince(before).others < noisyAbove / 2) return
  } while (performance.now() < end)
}

/** Processor seconds that a process has used, over all its threads; 0 if it is gone. */
export const cpuSecondsOf = (pid: number): number => ticksOf(pid).alive / ticksPerSecond

/** A line of /proc/<pid>/status in MB: VmRSS is what it has now, VmHWM the most that it had. */
export const memoryOf = (pid: number, line: "VmRSS" | "VmHWM"): number => {
  const match = new RegExp(`^${line}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))
  return Number(match?.[1] ?? Number.NaN) / 1024
}

interface Processors {
  readonly at: number
  readonly busy: number
  readonly own: number
}

const ticksPerSecond = 100

const loadSince = (before: Processors): Load => {
  const after = readProcessors()
  const seconds = (after.at - before.at) / 1000
  const others = after.busy - before.busy - (after.own - before.own)
  return { seconds, others: Math.max(0, others / ticksPerSecond / seconds) }
}

const readProcessors = (): Processors => {
  const fields = (readFileSync("/proc/stat", "latin1").split("\n")[0] ?? "").trim().split(/\s+/).map(Number)
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields
  const self = ticksOf(process.pid)
  let own = self.alive + self.ended
  for (const pid of ownProcesses) own += ticksOf(pid).alive
  return { at: performance.now(), busy: user + nice + system + irq + softirq + steal, own }
}

/** Of the process itself, and of its children that have ended. */
const ticksOf = (pid: number): { readonly alive: number; readonly ended: number } => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1")
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number)
    const [user = 0, system = 0, userEnded = 0, systemEnded = 0] = fields.slice(11, 15)
    return { alive: user + system, ended: userEnded + systemEnded }
  } catch {
    return { alive: 0, ended: 0 }
  }
}
