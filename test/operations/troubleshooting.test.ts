import { readdirSync, readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"

const root = new URL("../../", import.meta.url).pathname
const sources = readdirSync(`${root}src`, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.startsWith("simulator/"))
  .map((file) => ({ file, text: readFileSync(`${root}src/${file}`, "utf8") }))

const operations = readFileSync(`${root}docs/operations.md`, "utf8")
const table = plain(operations.slice(operations.indexOf("## Troubleshooting")))

/** Text as it reads: without the marks of code and the names that stand in for values. */
function plain(text: string): string {
  return text.replace(/[`\\]/g, "").replace(/\s+/g, " ")
}

/** The longest part of a message between its values: what its row is known by. */
const distinctive = (message: string): string =>
  message
    .split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/)
    .map(plain)
    .reduce((longest, part) => (part.length > longest.length ? part : longest), "")
    .trim()

const literal = /(["`])((?:(?!\1)[^\\\n]|\\.)*)\1/.source

/** The messages that are the first text after each of these words. */
const messagesAfter = (words: RegExp) =>
  sources.flatMap(({ file, text }) =>
    Array.from(text.matchAll(new RegExp(`${words.source}${literal}`, "g")), (match) => ({
      file,
      message: distinctive(match.at(-1) ?? "")
    }))
  )

const logged = messagesAfter(/\b(?:log(?:Warning|Error)\(|warn\(|tell\("(?:WARN|ERROR)",)\s*/)
const fatal = messagesAfter(
  /\b(?:DatabaseUnusable|ArchiveStoreUnusable|ResourceUnavailable)\(\{[^{}]*?reason:\s*|\bunusable\(\s*|return (?=`HTTP_)/
)

describe("the Troubleshooting table", () => {
  it("finds the messages in the source", () => {
    expect(logged.length).toBeGreaterThan(15)
    expect(fatal.length).toBeGreaterThan(8)
  })

  it("has a row for every warning, error and startup failure", () => {
    const missing = [...logged, ...fatal].filter(({ message }) => !table.includes(message))
    expect(Array.from(new Set(missing.map(({ file, message }) => `${file}: ${message}`)))).toEqual([])
  })
})
