import type { Hello, PageUpdate, Total } from "../protocol.ts"
import { type Chart, chart } from "./charts.ts"
import { heatMap } from "./coverage.ts"
import { bodyOf, byId, make, setText } from "./dom.ts"
import * as format from "./format.ts"
import { streamTable } from "./streams.ts"

const secondsShown = 300
const retryMillis = 5_000

const heat = heatMap()
const streams = streamTable(() => heat.show(streams.shown()))
let totals: ReadonlyArray<Total> = []
let version = 0

const charts: ReadonlyArray<readonly [Chart, (total: Total) => number | null]> = [
  [chart(byId("rate-chart", HTMLElement)), ([, rate]) => rate],
  [chart(byId("depth-chart", HTMLElement)), ([, , depth]) => depth],
  [chart(byId("commit-chart", HTMLElement)), ([, , , commit]) => commit]
]

const begin = (hello: Hello): void => {
  version = hello.version
  totals = hello.totals
  setText(byId("server", HTMLElement), hello.server)
  setText(byId("release", HTMLElement), `version ${hello.release}`)
  document.title = `${hello.server} · crypto-collector`
  streams.begin(hello)
}

const update = (tick: PageUpdate): void => {
  const [at, rate, depth, commit] = tick.total
  totals = [...totals.slice(1 - secondsShown), tick.total]
  setText(byId("link", HTMLElement), `live, ${format.dateTime(at)} UTC`)
  showHealth(tick)
  setText(byId("rate", HTMLElement), format.rate(rate))
  setText(byId("depth", HTMLElement), `${format.count(depth)} of ${format.count(tick.queue.capacity)}`)
  setText(byId("commit", HTMLElement), commit === null ? "–" : format.duration(commit))
  for (const [plot, read] of charts) {
    plot.show(
      totals.map(([at]) => at / 1000),
      totals.map(read)
    )
  }
  list("counts", [
    ["committed", format.count(tick.commits.committed)],
    ["duplicates", format.count(tick.commits.duplicates)],
    ["dropped", format.count(tick.queue.dropped)],
    ["rejected", format.count(tick.commits.rejected)],
    [
      "last commit",
      tick.commits.lastAt === null ? "none" : format.age((tick.at - tick.commits.lastAt) / 1000)
    ]
  ])
  list(
    "disk",
    tick.disk === null
      ? []
      : [
          ["database", format.bytes(tick.disk.database)],
          ["write-ahead log", format.bytes(tick.disk.wal)],
          ["outbox", format.bytes(tick.disk.outbox)],
          ["free", format.bytes(tick.disk.free)]
        ]
  )
  showArchives(tick)
  streams.update(tick)
}

const showHealth = ({ health }: PageUpdate): void => {
  const badge = byId("health", HTMLElement)
  badge.dataset.state = health.status
  setText(badge, health.status)
  const list = byId("reasons", HTMLElement)
  const shown = [...list.children].map((child) => child.textContent)
  if (shown.join("\n") === health.reasons.join("\n")) return
  list.replaceChildren(...health.reasons.map((reason) => make("li", {}, reason)))
}

const showArchives = ({ archives, at }: PageUpdate): void => {
  if (archives === null) return
  setText(
    byId("archive-count", HTMLElement),
    `${format.count(archives.done)} done, ${format.count(archives.rows)} messages, ${format.bytes(archives.bytes)}; ${format.count(archives.pending)} pending`
  )
  const body = bodyOf(byId("archive-table", HTMLTableElement))
  body.replaceChildren(
    ...archives.recent.map(({ at: then, bytes, key, rows, seconds, step }) =>
      make(
        "tr",
        {},
        make("td", {}, format.age((at - then) / 1000)),
        make("td", {}, step),
        make("td", { class: "number" }, rows === null ? "–" : format.count(rows)),
        make("td", { class: "number" }, bytes === null ? "–" : format.bytes(bytes)),
        make("td", { class: "number" }, seconds === null ? "–" : format.duration(seconds)),
        make("td", { class: "object", title: key }, key)
      )
    )
  )
  if (archives.recent.length === 0) {
    body.append(make("tr", {}, make("td", { colspan: "6", class: "empty" }, "None since the start.")))
  }
}

/** Fills a list of terms and values in place. */
const list = (id: string, entries: ReadonlyArray<readonly [string, string]>): void => {
  const element = byId(id, HTMLElement)
  if (element.childElementCount !== entries.length * 2) {
    element.replaceChildren(...entries.flatMap(([term]) => [make("dt", {}, term), make("dd")]))
  }
  for (const [i, [, value]] of entries.entries()) {
    const place = element.children[i * 2 + 1]
    if (place !== undefined) setText(place, value)
  }
}

const connect = (): void => {
  const source = new EventSource("/api/live")
  const again = (): void => {
    source.close()
    setTimeout(connect, retryMillis)
  }
  source.addEventListener("hello", ({ data }: MessageEvent<string>) => {
    const hello: Hello = JSON.parse(data)
    begin(hello)
  })
  source.addEventListener("tick", ({ data }: MessageEvent<string>) => {
    const tick: PageUpdate = JSON.parse(data)
    if (tick.version === version) return update(tick)
    source.close()
    connect()
  })
  source.addEventListener("error", () => {
    setText(byId("link", HTMLElement), "not connected, trying again …")
    const badge = byId("health", HTMLElement)
    badge.dataset.state = "unknown"
    setText(badge, "unknown")
    again()
  })
}

connect()
