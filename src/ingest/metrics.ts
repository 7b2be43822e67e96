import { Metric, MetricBoundaries } from "effect"

/*
 * Measurements taken once per batch: these metrics are too slow to be updated for every message.
 */

/** How long a transaction takes, from the request to the answer. */
export const commitSeconds = Metric.histogram(
  "collector_commit_duration_seconds",
  MetricBoundaries.fromIterable([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]),
  "Time to commit a batch."
)

/** Batches that could not be committed and were kept. */
export const commitFailures = Metric.counter("collector_commit_failures_total", {
  description: "Batches that could not be committed, and were kept and retried.",
  incremental: true
})
