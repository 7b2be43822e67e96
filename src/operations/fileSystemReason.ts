import type { PlatformError } from "@effect/platform/Error"

/** Why the file system refused, in a few words and on one line: the part of the system's message before the path. */
export const fileSystemReason = (error: PlatformError): string => {
  const description = (error.description ?? "").replace(/\s+/g, " ").trim()
  const system = /^[A-Z0-9]+: ([^,]+)/.exec(description)?.[1]
  return system ?? (description === "" ? error.message : description)
}
