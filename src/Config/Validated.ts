import { Either } from "effect"

/** A checked value, or a line for each wrong setting. Unlike `Config`, all checks run and report. */
export type Validated<A> = Either.Either<A, ReadonlyArray<string>>

/** A value that is wrong for one reason. */
export const problem = (line: string): Validated<never> => Either.left([line])

/** The problems of a checked value, if any. */
export const problemsOf = (checked: Validated<unknown>): ReadonlyArray<string> =>
  Either.isLeft(checked) ? checked.left : []

/** Combines all fields, or the problems of all of them. */
export const all = <const F extends Record<string, Validated<unknown>>>(fields: F) => {
  const problems = Object.values(fields).flatMap(problemsOf)
  return problems.length > 0 ? Either.left(problems) : Either.all(fields)
}
