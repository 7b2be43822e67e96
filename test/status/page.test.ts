import { existsSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { chromium, type Page } from "playwright-core"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { CoverageReply } from "../../src/status/http/coverageReply.ts"
import { program, startCollector, workspace } from "../support/collector.ts"
import { eventually } from "../support/process.ts"
import { get, statusPageOf } from "../support/statusPage.ts"

const decodeCoverage = Schema.decodeUnknownSync(Schema.parseJson(CoverageReply))

/** Debian's: `apt-get install chromium`. */
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  existsSync
)

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

const canRun = existsSync(program) && executablePath !== undefined

describe.skipIf(!canRun)(
  canRun
    ? "the status page"
    : "the status page (skipped: needs the built program and apt-get install chromium)",
  () => {
    it.scopedLive(
      "renders, updates, shows an outage and its hole, works with a keyboard, in light and dark, without an error",
      () =>
        Effect.gen(function* () {
          const where = yield* workspace
          const symbols = ["btcusdt", "ethusdt", "solusdt"]
          const simulator = yield* Simulator.make({ symbols, rate: 30 })
          const collector = yield* startCollector(where, {
            MARKETS: symbols.map((symbol) => `binance:${symbol}`).join(),
            BINANCE_WS_URL: simulator.url(),
            HOME_SERVER_NAME: "tokyo-1"
          })
          const url = yield* statusPageOf(collector)
          yield* eventually(
            "ready",
            Effect.map(get(`${url}/ready`), ({ status }) => status === 200)
          )
          const { errors, page } = yield* openPage
          const shows = (selector: string, pattern: RegExp) =>
            eventually(
              `${selector} like ${pattern}`,
              Effect.map(
                Effect.promise(() => page.locator(selector).allTextContents()),
                (texts) => pattern.test(texts.join(" | "))
              )
            )
          const text = (selector: string) =>
            Effect.promise(() => page.locator(selector).first().textContent()).pipe(
              Effect.map((found) => found ?? "")
            )
          const counted = (selector: string) => Effect.promise(() => page.locator(selector).count())
          const press = (key: string) => Effect.promise(() => page.keyboard.press(key))
          const focused = Effect.promise(() =>
            page.evaluate("document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.id")
          )

          // renders
          yield* Effect.promise(() => page.goto(url))
          yield* shows("#health", /healthy/)
          expect(yield* text("#server")).toBe("tokyo-1")
          expect(yield* counted("#stream-table tbody tr")).toBe(6)
          expect(yield* counted("#stream-table canvas")).toBe(6)
          expect(yield* counted(".cards canvas")).toBe(3)
          yield* shows("#stream-table .badge", /live(.*live){5}/)
          yield* eventually(
            "cells of the heat map",
            Effect.map(counted("#heat button:not([data-kind=none])"), (cells) => cells >= 6)
          )
          yield* shows("#archive-table", /purged.*exchange=binance/)

          // updates
          const committed = yield* text("#counts")
          yield* eventually(
            "other counts",
            Effect.map(text("#counts"), (now) => now !== committed)
          )

          // filters
          yield* Effect.promise(() => page.locator("#filter").fill("sol trade"))
          yield* eventually(
            "one row",
            Effect.map(counted("#stream-table tbody tr"), (rows) => rows === 1)
          )
          yield* Effect.promise(() => page.locator("#filter").fill(""))
          yield* eventually(
            "all rows",
            Effect.map(counted("#stream-table tbody tr"), (rows) => rows === 6)
          )

          // an outage
          yield* simulator.inject({ _tag: "refuse", for: 600_000 })
          yield* simulator.inject({ _tag: "terminate" })
          yield* shows("#health", /degraded|unhealthy/)
          yield* shows("#reasons", /6 streams are not connected/)
          yield* shows("#stream-table .badge", /connecting/)
          yield* Effect.sleep("3 seconds")
          yield* simulator.heal
          yield* eventually(
            "healthy again",
            Effect.map(text("#health"), (health) => health === "healthy")
          )

          // and its hole, by keyboard
          yield* eventually(
            "the outage in the coverage of every stream",
            Effect.map(get(`${url}/api/coverage?days=1`), ({ text }) =>
              decodeCoverage(text).streams.every(
                ({ holes }) => holes.reduce((sum, seconds) => sum + seconds, 0) >= 3
              )
            )
          )
          yield* Effect.promise(() => page.reload())
          yield* eventually(
            "a hole in every stream",
            Effect.map(counted("#heat button[data-kind=hole], #heat button[data-kind=lost]"), (n) => n >= 6)
          )
          yield* Effect.promise(() => page.locator("#days").focus())
          yield* press("Tab")
          expect(yield* focused).toMatch(/in holes/)
          yield* press("ArrowUp")
          yield* press("ArrowLeft")
          expect(yield* focused).toMatch(/not recorded|in holes|no hole/)
          yield* press("End")
          yield* press("Enter")
          yield* shows("#events li", /down: not connected/)
          yield* Effect.promise(() => page.locator("#events").getByRole("button", { name: "Close" }).focus())
          yield* press("Enter")
          expect(yield* Effect.promise(() => page.locator("#events").isHidden())).toBe(true)
          expect(yield* focused).toMatch(/in holes/)

          // light and dark
          const background = Effect.promise(() =>
            page.evaluate("getComputedStyle(document.body).backgroundColor")
          )
          const light = yield* background
          yield* Effect.promise(() => page.emulateMedia({ colorScheme: "dark" }))
          expect(yield* background).not.toBe(light)

          expect(errors).toEqual([])
        })
    )
  }
)

/** A page, and what went wrong on it. Nothing leaves this machine. */
const openPage = Effect.gen(function* () {
  const browser = yield* Effect.acquireRelease(
    Effect.promise(() => chromium.launch({ executablePath: executablePath ?? "", args: flags })),
    (browser) => Effect.promise(() => browser.close())
  )
  const page = yield* Effect.promise(() =>
    browser.newPage({ viewport: { width: 1280, height: 1000 }, colorScheme: "light" })
  )
  return { page, errors: errorsOf(page) }
})

const errorsOf = (page: Page): ReadonlyArray<string> => {
  const errors: Array<string> = []
  page.on("pageerror", (error) => errors.push(error.message))
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") errors.push(message.text())
  })
  page.on("request", (request) => {
    if (new URL(request.url()).hostname !== "127.0.0.1") errors.push(`asked for ${request.url()}`)
  })
  return errors
}
