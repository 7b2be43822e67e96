import { readdir, readFile } from "node:fs/promises"
import { Effect } from "effect"
import { type MetricFamily, unlabelled } from "../../domain/MetricFamily.ts"

/** The metrics that Prometheus expects of every process. `heapUsed` belongs to the receiving thread. */
export const readProcess = (heapUsed: number): Effect.Effect<ReadonlyArray<MetricFamily>> =>
  Effect.gen(function* () {
    const { system, user } = process.cpuUsage()
    const open = yield* Effect.map(
      optional(() => readdir("/proc/self/fd")),
      (names) => names?.length
    )
    const limits = yield* optional(() => readFile("/proc/self/limits", "utf8"))
    const most = /^Max open files\s+(\d+)/m.exec(limits ?? "")?.[1]
    return [
      unlabelled(
        "process_cpu_seconds_total",
        "counter",
        "Time that the processor spent.",
        (user + system) / 1e6
      ),
      unlabelled("process_start_time_seconds", "gauge", "When the process started, Unix time.", startTime),
      unlabelled(
        "process_resident_memory_bytes",
        "gauge",
        "Memory that is in use.",
        process.memoryUsage.rss()
      ),
      unlabelled("nodejs_heap_used_bytes", "gauge", "Heap of the receiving thread that is in use.", heapUsed),
      ...(open === undefined
        ? []
        : [unlabelled("process_open_fds", "gauge", "Open files and sockets.", open)]),
      ...(most === undefined
        ? []
        : [unlabelled("process_max_fds", "gauge", "Limit on open files and sockets.", Number(most))])
    ]
  })

/** None on systems without the file. */
const optional = <A>(read: () => Promise<A>): Effect.Effect<A | undefined> =>
  Effect.orElseSucceed(Effect.tryPromise(read), () => undefined)

const startTime = Date.now() / 1000 - process.uptime()
