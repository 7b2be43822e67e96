import { Schema } from "effect"
import type { Histogram } from "./Histogram.ts"

/** One line of a family. `suffix` is what histograms append to the name. */
export const Sample = Schema.Struct({
  labels: Schema.Record({ key: Schema.String, value: Schema.String }),
  value: Schema.Number,
  suffix: Schema.optionalWith(Schema.Literal("_bucket", "_sum", "_count"), { exact: true })
})
export type Sample = typeof Sample.Type

/** A metric with all its label combinations, as Prometheus defines it. */
export const MetricFamily = Schema.Struct({
  name: Schema.String,
  help: Schema.String,
  type: Schema.Literal("counter", "gauge", "histogram"),
  samples: Schema.Array(Sample)
})
export type MetricFamily = typeof MetricFamily.Type

export type Labels = Sample["labels"]

/** Renders families in the Prometheus text format, version 0.0.4. */
export const prometheusText = (families: Iterable<MetricFamily>): string => {
  const lines: Array<string> = []
  for (const { help, name, samples, type } of families) {
    lines.push(
      `# HELP ${name} ${help.replace(/\\/g, "\\\\").replace(/\n/g, "\\n")}`,
      `# TYPE ${name} ${type}`
    )
    for (const { labels, suffix, value } of samples) {
      lines.push(`${name}${suffix ?? ""}${labelText(labels)} ${numberText(value)}`)
    }
  }
  return `${lines.join("\n")}\n`
}

export const prometheusContentType = "text/plain; version=0.0.4; charset=utf-8"

/** Makes a family without labels. */
export const unlabelled = (
  name: string,
  type: "counter" | "gauge",
  help: string,
  value: number
): MetricFamily => ({
  name,
  type,
  help,
  samples: [{ labels: {}, value }]
})

/** Returns the lines of one histogram. `buckets` are cumulative, from the lowest bound to the highest finite one. */
export const histogramSamples = (
  labels: Labels,
  buckets: Iterable<readonly [bound: number, count: number]>,
  sum: number,
  count: number
): ReadonlyArray<Sample> => [
  ...Array.from(
    buckets,
    ([bound, below]): Sample => ({
      suffix: "_bucket",
      labels: { ...labels, le: numberText(bound) },
      value: below
    })
  ),
  { suffix: "_bucket", labels: { ...labels, le: "+Inf" }, value: count },
  { suffix: "_sum", labels, value: sum },
  { suffix: "_count", labels, value: count }
]

/** Returns the lines of a histogram in a family. */
export const samplesOfHistogram = (
  { bounds, counts, sum }: Histogram,
  labels: Labels
): ReadonlyArray<Sample> => {
  let below = 0
  const buckets = bounds.map((bound, i) => {
    below += counts[i] ?? 0
    return [bound, below] as const
  })
  return histogramSamples(labels, buckets, sum, below + (counts[bounds.length] ?? 0))
}

const labelText = (labels: Labels): string => {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escaped)}"`
  )
  return parts.length === 0 ? "" : `{${parts.join(",")}}`
}

const escaped = (character: string): string => (character === "\n" ? "\\n" : `\\${character}`)

const numberText = (value: number): string =>
  value === Number.POSITIVE_INFINITY ? "+Inf" : value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value)
