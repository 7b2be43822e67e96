import { Effect, Metric, MetricBoundaries, type MetricKey, MetricKeyType, MetricState, Option } from "effect"
import { histogramSamples, type Labels, type MetricFamily, type Sample } from "../domain/MetricFamily.ts"

/**
 * What is measured where it happens, once per batch, file or attempt: never once per message, which these are too slow
 * for. Each thread has its own; `families` reads those of the calling thread, and has a metric from the first time that its
 * value was asked for.
 */

const seconds = (...bounds: ReadonlyArray<number>) => MetricBoundaries.fromIterable(bounds)

/** How long a transaction takes, from the request to the answer. */
export const commitSeconds = Metric.histogram(
  "collector_commit_duration_seconds",
  seconds(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
  "Time to commit a batch."
)

/** Batches that could not be committed and were kept. */
export const commitFailures = Metric.counter("collector_commit_failures_total", {
  description: "Batches that could not be committed, and were kept and tried again.",
  incremental: true
})

/** How long it takes to write an archive's Parquet file. */
export const parquetSeconds = Metric.histogram(
  "collector_parquet_duration_seconds",
  seconds(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
  "Time to write the Parquet file of an archive."
)

/** How long an upload takes, with its repetitions. */
export const uploadSeconds = Metric.histogram(
  "collector_upload_duration_seconds",
  seconds(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
  "Time to upload an archive, with its repetitions."
)

/** Steps of archives that failed. */
export const archiveFailures = Metric.counter("collector_archive_failures_total", {
  description: "Steps of archives that failed and are tried again.",
  incremental: true
})

/** The collector's metrics of this thread, as of now. Prometheus counts in seconds: what is in milliseconds becomes that. */
export const families: Effect.Effect<ReadonlyArray<MetricFamily>> = Effect.map(Metric.snapshot, (pairs) => {
  const found = new Map<string, { readonly family: MetricFamily; readonly samples: Array<Sample> }>()
  for (const { metricKey, metricState } of pairs) {
    const type = typeOf(metricKey.keyType)
    if (type === undefined || !metricKey.name.startsWith("collector_")) continue
    const name = metricKey.name.replace(/_milliseconds$/, "_seconds")
    const scale = name === metricKey.name ? 1 : 1000
    const entry = found.get(name) ?? {
      family: { name, type, help: helpOf(metricKey), samples: [] },
      samples: []
    }
    found.set(name, entry)
    entry.samples.push(
      ...samplesOf(Object.fromEntries(metricKey.tags.map((tag) => [tag.key, tag.value])), metricState, scale)
    )
  }
  return Array.from(found.values(), ({ family, samples }) => ({ ...family, samples })).sort((a, b) =>
    a.name < b.name ? -1 : 1
  )
})

const helpOf = ({ description, name }: MetricKey.MetricKey.Untyped): string =>
  Option.getOrElse(description, () => name).replace(/^Milliseconds\b/, "Seconds")

const typeOf = (keyType: unknown): MetricFamily["type"] | undefined => {
  if (MetricKeyType.isCounterKey(keyType)) return "counter"
  if (MetricKeyType.isGaugeKey(keyType)) return "gauge"
  return MetricKeyType.isHistogramKey(keyType) ? "histogram" : undefined
}

const samplesOf = (labels: Labels, state: unknown, scale: number): ReadonlyArray<Sample> => {
  if (MetricState.isCounterState(state)) return [{ labels, value: Number(state.count) }]
  if (MetricState.isGaugeState(state)) return [{ labels, value: Number(state.value) }]
  if (!MetricState.isHistogramState(state)) return []
  const buckets = state.buckets
    .filter(([bound]) => Number.isFinite(bound))
    .map(([bound, count]) => [bound / scale, count] as const)
  return histogramSamples(labels, buckets, state.sum / scale, state.count)
}
