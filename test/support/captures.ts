import { existsSync, readdirSync, readFileSync } from "node:fs"

const folder = new URL("../../../shared/captures/", import.meta.url)

/** Whether the recorded exchange traffic is there; tests on it are skipped, and say so, where it is not. */
export const haveCaptures = existsSync(folder)

/** The texts of a capture's frames that the exchange sent. */
export const capturedFrames = (file: string): ReadonlyArray<string> =>
  readFileSync(new URL(file, folder), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line): { readonly dir: string; readonly text: string } => JSON.parse(line))
    .filter((frame) => frame.dir === "in")
    .map((frame) => frame.text)

/** The exchanges that have captures, of these. */
export const capturedOf = (exchanges: Iterable<string>): ReadonlyArray<string> =>
  Array.from(exchanges).filter((exchange) => existsSync(new URL(`${exchange}/`, folder)))

/** The capture files of an exchange. */
export const captureFiles = (exchange: string): ReadonlyArray<string> =>
  readdirSync(new URL(`${exchange}/`, folder)).map((file) => `${exchange}/${file}`)
