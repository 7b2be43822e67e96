import { Schema } from "effect"

/** All times are in microseconds. */
export const microsPerHour = 3_600_000_000
export const microsPerDay = 24 * microsPerHour

/** A point in time. */
export const Micros = Schema.Number.annotations({ description: "Microseconds since the epoch." })
