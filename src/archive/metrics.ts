import { Metric, MetricBoundaries } from "effect"

/* Boundaries for what is measured once per file or attempt. */

const seconds = MetricBoundaries.fromIterable([0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300])

/** How long it takes to write an archive's Parquet file. */
export const parquetSeconds = Metric.histogram(
  "collector_parquet_duration_seconds",
  seconds,
  "Time to write the Parquet file of an archive."
)

/** How long an upload takes, including its retries. */
export const uploadSeconds = Metric.histogram(
  "collector_upload_duration_seconds",
  seconds,
  "Time to upload an archive, with its repetitions."
)

/** Archive steps that failed. */
export const archiveFailures = Metric.counter("collector_archive_failures_total", {
  description: "Steps of archives that failed and are retried.",
  incremental: true
})
