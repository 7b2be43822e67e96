import { writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { isMet, type Measurement, type Result, type Settings } from "./Bench.ts"
import { noisyAbove } from "./Machine.ts"
import { archive } from "./measurements/archive.ts"
import { coverage } from "./measurements/coverage.ts"
import { loss } from "./measurements/loss.ts"
import { scale } from "./measurements/scale.ts"
import { stamps } from "./measurements/stamps.ts"
import { startup } from "./measurements/startup.ts"
import { steady } from "./measurements/steady.ts"
import { throughput } from "./measurements/throughput.ts"
import { median } from "./statistics.ts"

const measurements: ReadonlyArray<Measurement> = [
  throughput,
  loss,
  stamps,
  archive,
  scale,
  startup,
  coverage,
  steady
]

const help = `npm run bench -- [measurement ...] [options]

Measures the collector against baselines that run in turn with it. All figures are medians over the rounds.

${measurements.map(({ name, title }) => `  ${name.padEnd(12)} ${title}`).join("\n")}

  --rounds N         how often everything is measured (3)
  --seconds N        replaces the length of each measurement
  --days N           how many days coverage reads (3)
  --full             also what takes long: about an hour
  --json FILE        also writes the results to a file
  --patience N       how long to wait for a quiet machine before each run, seconds (15)
  --folder PATH      where databases and archives are written (the folder for temporary files)
  --collector FILE   another build's main.js
`

const main = async () => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "3" },
      seconds: { type: "string" },
      days: { type: "string" },
      full: { type: "boolean", default: false },
      json: { type: "string" },
      patience: { type: "string", default: "15" },
      folder: { type: "string", default: tmpdir() },
      collector: { type: "string", default: fileURLToPath(new URL("../dist/main.js", import.meta.url)) },
      help: { type: "boolean", default: false }
    }
  })
  const unknown = positionals.filter((name) => measurements.every((known) => known.name !== name))
  if (values.help || unknown.length > 0) {
    process.stdout.write(unknown.length > 0 ? `unknown: ${unknown.join(", ")}\n\n${help}` : help)
    process.exitCode = values.help ? 0 : 1
    return
  }
  const settings: Settings = {
    rounds: positive("rounds", values.rounds),
    seconds: values.seconds === undefined ? undefined : positive("seconds", values.seconds),
    days: values.days === undefined ? undefined : positive("days", values.days),
    full: values.full,
    folder: values.folder,
    collector: values.collector,
    patience: positive("patience", values.patience),
    print: (text) => void process.stdout.write(text)
  }
  const results: Array<Result> = []
  for (const { name, run, title } of measurements) {
    if (positionals.length > 0 && !positionals.includes(name)) continue
    settings.print(`\n${name}: ${title}\n`)
    results.push({ measurement: name, title, ...(await run(settings)) })
    if (values.json !== undefined) {
      writeFileSync(values.json, `${JSON.stringify({ at: new Date().toISOString(), results }, null, 2)}\n`)
    }
  }
  settings.print(results.map(table).join(""))
}

const positive = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0) throw new Error(`--${name} ${text}: expected a number above 0`)
  return value
}

const table = ({ figures, measurement, notes, others, title }: Result): string => {
  const noisy = others.filter((value) => value > noisyAbove).length
  const lines = figures.map((figure) => {
    const { name, target, unit, values } = figure
    const spread =
      values.length > 1 ? `  (${digits(Math.min(...values))} to ${digits(Math.max(...values))})` : ""
    const wanted =
      target === undefined
        ? ""
        : "atLeast" in target
          ? `  target >= ${target.atLeast}`
          : `  target <= ${target.atMost}`
    const met = isMet(figure)
    const verdict = met === undefined ? "" : met ? "  met" : "  MISSED"
    return `  ${name.padEnd(58)} ${digits(median(values)).padStart(9)} ${unit}${spread}${wanted}${verdict}\n`
  })
  const noise = `  others used ${others.map((value) => value.toFixed(2)).join(", ")} CPU${noisy > 0 ? `: ${noisy} of ${others.length} rounds NOISY` : ""}\n`
  return `\n${measurement}: ${title}\n${lines.join("")}${notes.map((note) => `  ${note}\n`).join("")}${noise}`
}

const digits = (value: number): string =>
  Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString("en")
    : value
        .toPrecision(3)
        .replace(/(\.\d*?)0+$/, "$1")
        .replace(/\.$/, "")

await main()
