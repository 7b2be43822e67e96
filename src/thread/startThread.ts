import { MessageChannel, Worker, type WorkerOptions } from "node:worker_threads"

/** A thread that is started before its work is known, and waits for it. */
export interface EarlyThread {
  /** Sends nothing before somebody listens to its messages, since they would be lost. */
  readonly worker: Worker
  /** Gives it, once, what other threads receive as `workerData`. */
  readonly tell: (data: unknown) => void
}

/**
 * Starts a thread with the environment of this process, without the AWS SDK's notice that it will require a newer Node one day.
 */
export const startThread = (entry: URL, options: WorkerOptions): Worker =>
  new Worker(entry, {
    ...options,
    env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" }
  })

/** Starts a thread that loads its code while this one loads its own. */
export const startEarly = (entry: URL): EarlyThread => {
  const { port1, port2 } = new MessageChannel()
  const worker = startThread(entry, { workerData: port2, transferList: [port2] })
  worker.on("newListener", function hear(event) {
    if (event !== "message") return
    worker.off("newListener", hear)
    port1.close()
  })
  return { worker, tell: (data) => port1.postMessage(data) }
}
