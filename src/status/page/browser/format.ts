export const count = (value: number): string => value.toLocaleString("en")

export const rate = (perSecond: number): string =>
  perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))

export const bytes = (value: number): string => {
  let left = value
  let unit = 0
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024
    unit++
  }
  return `${left.toFixed(unit === 0 || left >= 100 ? 0 : 1)} ${units[unit]}`
}

/** A duration in the largest unit that fits. */
export const duration = (seconds: number): string => {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3600)} h`
}

/** How long ago. */
export const age = (seconds: number): string =>
  seconds < 0 ? "never" : seconds < 2 ? "now" : `${duration(seconds)} ago`

/** A UTC time such as 2026-01-31 23:59:59. */
export const dateTime = (millis: number): string =>
  new Date(millis).toISOString().slice(0, 19).replace("T", " ")

const units = ["B", "KiB", "MiB", "GiB", "TiB"]
