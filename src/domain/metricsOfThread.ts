import { Effect, Metric, type MetricKey, MetricKeyType, MetricState, Option } from "effect"
import { histogramSamples, type Labels, type MetricFamily, type Sample } from "./MetricFamily.ts"

/**
 * Reads the collector's metrics of the calling thread as of now: each is present from the first time its value was requested.
 * Milliseconds are converted to seconds, as is the convention of Prometheus.
 */
export const metricsOfThread: Effect.Effect<ReadonlyArray<MetricFamily>> = Effect.map(
  Metric.snapshot,
  (pairs) => {
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
        ...samplesOf(
          Object.fromEntries(metricKey.tags.map((tag) => [tag.key, tag.value])),
          metricState,
          scale
        )
      )
    }
    return Array.from(found.values(), ({ family, samples }) => ({ ...family, samples })).sort((a, b) =>
      a.name < b.name ? -1 : 1
    )
  }
)

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
