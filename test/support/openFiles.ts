import * as NodeFs from "node:fs"
import { Either } from "effect"

/** The files below a folder that this process has open (Linux; elsewhere none are found). */
export const openFilesBelow = (folder: string): ReadonlyArray<string> => {
  const fds = Either.getOrElse(
    Either.try(() => NodeFs.readdirSync("/proc/self/fd")),
    () => []
  )
  return fds.flatMap((fd) => {
    const target = Either.try(() => NodeFs.readlinkSync(`/proc/self/fd/${fd}`))
    return Either.isRight(target) && target.right.startsWith(folder) ? [target.right] : []
  })
}
