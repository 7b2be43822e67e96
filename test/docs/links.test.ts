import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"

const root = new URL("../../", import.meta.url).pathname
const documents = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...readdirSync(`${root}docs`, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => `docs/${file}`)
]

const textOf = (file: string) => readFileSync(join(root, file), "utf8")

/** What a heading is linked to by, as GitHub does it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-")

const anchorsOf = (file: string) =>
  Array.from(textOf(file).matchAll(/^#+ (.+)$/gm), ([, heading = ""]) => anchorOf(heading))

const linksOf = (file: string) =>
  Array.from(textOf(file).matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target).filter(
    (target) => !/^[a-z]+:/.test(target)
  )

const isDead = (file: string) => (target: string) => {
  const [path = "", anchor] = target.split("#")
  const linked = path === "" ? file : join(dirname(file), path)
  if (!existsSync(join(root, linked))) return true
  return anchor !== undefined && !anchorsOf(linked).includes(anchor)
}

describe("the documents", () => {
  it("link to files and headings that exist", () => {
    expect(documents.flatMap(linksOf).length).toBeGreaterThan(20)
    expect(
      documents.flatMap((file) =>
        linksOf(file)
          .filter(isDead(file))
          .map((link) => `${file}: ${link}`)
      )
    ).toEqual([])
  })

  it("are all reached from the README", () => {
    const reached = new Set<string>()
    const visit = (file: string): void => {
      if (reached.has(file) || !file.endsWith(".md")) return
      reached.add(file)
      for (const link of linksOf(file)) {
        const path = link.replace(/#.*/, "")
        if (path !== "") visit(join(dirname(file), path))
      }
    }
    visit("README.md")
    expect(documents.filter((file) => !reached.has(file))).toEqual([])
  })

  it("start with a README that can be read in a few minutes", () => {
    expect(Buffer.byteLength(textOf("README.md"))).toBeLessThanOrEqual(12_000)
  })
})
