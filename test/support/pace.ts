import { cpus, loadavg } from "node:os"

/**
 * By how much longer than usual anything may take on this machine now: 1 where it is fast and idle. What tests wait for is
 * bounded by so many times the usual bound: a test may take longer on a slow or busy machine, it must not fail there.
 */
const measure = (): number => {
  const begin = performance.now()
  let sum = 0
  for (let i = 0; i < 20_000_000; i++) sum = (sum * 31 + i) % 1_000_003
  const slow = (performance.now() - begin) / usualMillis
  const busy = (loadavg()[0] ?? 0) / cpus().length
  return Math.max(1, slow, busy) + (sum < 0 ? 1 : 0)
}

/** What the loop takes on a machine with two processors of 2024. */
const usualMillis = 150

export let pace = measure()

/** Milliseconds that a test waits for a condition at most, before it says what it waited for. */
export let patience = 120_000 * pace

/** Before each test file: a worker runs many, and others may have begun to work beside it. */
export const measureAgain = (): void => {
  pace = measure()
  patience = 120_000 * pace
}
