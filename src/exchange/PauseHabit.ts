/**
 * The usual pauses of a stream, in buckets whose upper ends grow by the square root of two, from a second to twelve days. When
 * the pauses add up to two days all counts are halved, so that those of a day ago count half.
 */
export interface PauseHabit {
  readonly counts: Float32Array
  /** The sum of the pauses in `counts`, in seconds. */
  seconds: number
  /** How many pauses were ever learned. */
  pauses: number
  /** `usualPause` as of `pauses`, NaN until it is computed. */
  usual: number
}

export const makePauseHabit = (): PauseHabit => ({
  counts: new Float32Array(buckets),
  seconds: 0,
  pauses: 0,
  usual: 0
})

/** Learns a pause that has ended, of at least one second. */
export const learnPause = (habit: PauseHabit, seconds: number): void => {
  const bucket = Math.min(Math.ceil(2 * Math.log2(seconds)), buckets - 1)
  habit.counts[bucket] = (habit.counts[bucket] ?? 0) + 1
  habit.seconds += seconds
  habit.pauses++
  habit.usual = Number.NaN
  while (habit.seconds > memorySeconds) {
    for (let i = 0; i < buckets; i++) habit.counts[i] = (habit.counts[i] ?? 0) / 2
    habit.seconds /= 2
  }
}

/**
 * Returns the usual pause in seconds: a tenth of the time is spent in longer pauses. So an hour of every night counts, however
 * many short pauses the day has. From 20 pauses on, the longest does not count, because it may have been a fault. 0 if no pause
 * is known.
 */
export const usualPause = (habit: PauseHabit): number => {
  if (Number.isNaN(habit.usual)) habit.usual = usualOf(habit)
  return habit.usual
}

const usualOf = ({ counts, pauses }: PauseHabit): number => {
  let total = 0
  let longest = -1
  for (let i = 0; i < buckets; i++) {
    const count = counts[i] ?? 0
    if (count === 0) continue
    total += count * upperEnd(i)
    longest = i
  }
  if (longest < 0) return 0
  const spared = pauses < manyPauses ? 0 : Math.min(counts[longest] ?? 0, 1)
  total -= spared * upperEnd(longest)
  let beyond = -spared * upperEnd(longest)
  for (let i = longest; i > 0; i--) {
    beyond += (counts[i] ?? 0) * upperEnd(i)
    if (beyond > 0 && beyond >= total * rareShare) return upperEnd(i)
  }
  return 1
}

/**
 * Returns after how many seconds a silence is no longer a pause. The value is stretched while few messages are known, because
 * the next pause is easily longer than the longest of a few.
 */
export const patienceOf = (habit: PauseHabit, messages = habit.pauses): number =>
  usualPause(habit) * (unusualFactor + fewFactor / Math.max(messages, 1) ** 2)

const upperEnd = (bucket: number): number => 2 ** (bucket / 2)

const buckets = 41
const memorySeconds = 172_800
const manyPauses = 20
const rareShare = 0.1
const unusualFactor = 3
const fewFactor = 50
