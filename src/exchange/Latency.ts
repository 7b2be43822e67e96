import { Metric, MetricBoundaries, MetricKey, MetricLabel } from "effect"

/**
 * A histogram of the milliseconds from the exchange's own time of a message to its receipt, by exchange. Clocks differ: values
 * can be off, and below 0.
 */
export const latencyOf = (exchange: string) =>
  Metric.fromMetricKey(MetricKey.taggedWithLabels(key, [MetricLabel.make("exchange", exchange)]))

const key = MetricKey.histogram(
  "collector_exchange_latency_milliseconds",
  MetricBoundaries.fromIterable([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000]),
  "Milliseconds from the exchange's own time of a message to its receipt"
)
