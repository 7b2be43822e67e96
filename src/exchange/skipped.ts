import { Metric, MetricKey, MetricLabel } from "effect"
import { labelOf, SkipReason } from "../domain/SkipReason.ts"

/** Counters of an exchange's unusable frames, by reason. Known control frames are not counted. */
export const skippedOf = (exchange: string): ReadonlyMap<SkipReason, Metric.Metric.Counter<number>> =>
  new Map(
    SkipReason.literals.map((reason) => [
      reason,
      Metric.fromMetricKey(
        MetricKey.taggedWithLabels(key, [
          MetricLabel.make("exchange", exchange),
          MetricLabel.make("reason", labelOf(reason))
        ])
      )
    ])
  )

const key = MetricKey.counter("collector_frames_skipped_total", {
  description: "Frames that could not be used, by reason.",
  incremental: true
})
