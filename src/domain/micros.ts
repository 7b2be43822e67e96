import { Schema } from "effect"

/** Times are microseconds throughout. */
export const microsPerHour = 3_600_000_000
export const microsPerDay = 24 * microsPerHour

/** A time. */
export const Micros = Schema.Number.annotations({ description: "Microseconds since the epoch." })
