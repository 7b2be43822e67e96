/** The one argument of a program, which its parent gave as JSON. */
export const readArgument = (): unknown => JSON.parse(process.argv[2] ?? "null")

export const tell = (message: unknown): void => void process.send?.(message)

/** Ends with the benchmark, and after an hour whatever happens. */
export const endWithParent = (): void => {
  process.once("disconnect", () => process.exit(1))
  setTimeout(() => process.exit(1), 3_600_000).unref()
}
