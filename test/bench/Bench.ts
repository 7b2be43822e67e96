import { mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { awaitQuiet, type Load, measureLoad, noisyAbove } from "./Machine.ts"
import { median } from "./statistics.ts"

export interface Settings {
  /** How often everything is measured; the quietest rounds count. */
  readonly rounds: number
  /** Replaces the length of each measurement. */
  readonly seconds: number | undefined
  /** How many days of a journal are read. */
  readonly days: number | undefined
  /** Also what takes long. */
  readonly full: boolean
  /** Temporary files go below this folder: its disk is part of what is measured. */
  readonly folder: string
  /** The collector's entry file. */
  readonly collector: string
  /** How long to wait for a quiet machine before each run, seconds. */
  readonly patience: number
  readonly print: (text: string) => void
}

/** A figure over the rounds that count. */
export interface Figure {
  readonly name: string
  readonly unit: string
  readonly values: ReadonlyArray<number>
  /** What its median should be; none for what is only told. */
  readonly target?: { readonly atLeast: number } | { readonly atMost: number }
}

export interface Result {
  readonly measurement: string
  readonly title: string
  readonly figures: ReadonlyArray<Figure>
  /** Processors taken by others in each run of the rounds that count, the highest of each round. */
  readonly others: ReadonlyArray<number>
  readonly notes: ReadonlyArray<string>
}

export interface Measurement {
  readonly name: string
  readonly title: string
  readonly run: (settings: Settings) => Promise<Omit<Result, "measurement" | "title">>
}

/** What the contestants of one round came to. */
export interface Round<A> {
  readonly results: Readonly<Record<string, A>>
  readonly others: number
}

/**
 * Runs all contestants once a round, in turn from the front and from the back, and gives the rounds in which others used the
 * processors least. While too many rounds are noisy it goes on, up to twice as many.
 */
export const runRounds = async <A>(
  settings: Settings,
  contestants: ReadonlyArray<readonly [name: string, run: (done: ReadonlyMap<string, A>) => Promise<A>]>,
  show: (result: A) => string,
  options: { readonly rounds?: number; readonly inOrder?: boolean } = {}
): Promise<ReadonlyArray<Round<A>>> => {
  const wanted = options.rounds ?? settings.rounds
  const rounds: Array<Round<A>> = []
  const isShort = () => rounds.filter((round) => round.others <= noisyAbove).length < wanted
  for (let i = 0; i < wanted || (i < 2 * wanted && isShort()); i++) {
    const done = new Map<string, A>()
    let others = 0
    for (const [name, run] of i % 2 === 0 || options.inOrder ? contestants : contestants.toReversed()) {
      const [result, load] = await measured(settings, () => run(done))
      done.set(name, result)
      others = Math.max(others, load.others)
      settings.print(`  round ${i + 1}  ${name.padEnd(28)} ${show(result)}${loadText(load)}\n`)
    }
    rounds.push({ results: Object.fromEntries(done), others })
  }
  return rounds.toSorted((a, b) => a.others - b.others).slice(0, wanted)
}

/** Waits for a quiet machine, and says how quiet it stayed. */
export const measured = async <A>(settings: Settings, run: () => Promise<A>): Promise<readonly [A, Load]> => {
  await awaitQuiet(settings.patience)
  return measureLoad(run)
}

const loadText = ({ others, seconds }: Load): string =>
  `   (${seconds.toFixed(1)} s, others ${others.toFixed(2)} CPU${others > noisyAbove ? ", NOISY" : ""})`

/** A figure of each round. */
export const each = <A>(rounds: ReadonlyArray<Round<A>>, name: string, measure: (result: A) => number) =>
  rounds.map((round) => {
    const result = round.results[name]
    return result === undefined ? Number.NaN : measure(result)
  })

/** One contestant's figure divided by another's, round by round. */
export const ratios = <A>(
  rounds: ReadonlyArray<Round<A>>,
  subject: string,
  baseline: string,
  measure: (result: A) => number
): ReadonlyArray<number> => {
  const base = each(rounds, baseline, measure)
  return each(rounds, subject, measure).map((value, i) => value / (base[i] ?? Number.NaN))
}

export const othersOf = <A>(rounds: ReadonlyArray<Round<A>>): ReadonlyArray<number> =>
  rounds.map((round) => round.others)

/** Whether the target is met; undefined without a target. */
export const isMet = ({ target, values }: Figure): boolean | undefined => {
  if (target === undefined) return undefined
  const value = median(values)
  return "atLeast" in target ? value >= target.atLeast : value <= target.atMost
}

/** A folder that is removed afterwards. */
export const withFolder = async <A>(
  { folder }: Settings,
  use: (folder: string) => Promise<A>
): Promise<A> => {
  const made = mkdtempSync(join(folder, "crypto-collector-bench-"))
  const remove = () => rmSync(made, { recursive: true, force: true, maxRetries: 3 })
  process.once("exit", remove)
  try {
    return await use(made)
  } finally {
    process.off("exit", remove)
    remove()
  }
}
