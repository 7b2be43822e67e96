// For `node --import`: a timer of an hour goes off after SHORT_HOUR milliseconds, on all threads.
import { setTimeout as wait } from "node:timers"

const hour = 3_600_000

/** @type {(run: (...args: Array<unknown>) => void, delay?: number, ...args: Array<unknown>) => NodeJS.Timeout} */
const waitLess = (run, delay, ...args) =>
  wait(run, delay === hour ? Number(process.env.SHORT_HOUR) : delay, ...args)

Reflect.set(globalThis, "setTimeout", Object.assign(waitLess, wait))
