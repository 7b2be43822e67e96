import type { Hello, PageUpdate } from "../protocol.ts"
import { type Chart, chart } from "./charts.ts"
import { bodyOf, byId, make, setText } from "./dom.ts"
import * as format from "./format.ts"

/** The table of streams that match the filter, a limited number at a time. */
export interface StreamTableView {
  readonly begin: (hello: Hello) => void
  readonly update: (tick: PageUpdate) => void
  /** The keys of the streams shown. */
  readonly shown: () => ReadonlyArray<string>
}

const rowsPerPage = 25
const secondsShown = 60

interface Row {
  readonly stream: number
  readonly state: HTMLElement
  readonly rate: HTMLElement
  readonly age: HTMLElement
  readonly gaps: HTMLElement
  readonly spark: Chart
}

/** `onShown` is called when the shown streams change. */
export const streamTable = (onShown: () => void): StreamTableView => {
  const body = bodyOf(byId("stream-table", HTMLTableElement))
  const filter = byId("filter", HTMLInputElement)
  const problems = byId("problems", HTMLInputElement)
  const previous = byId("previous", HTMLButtonElement)
  const next = byId("next", HTMLButtonElement)
  let streams: Hello["streams"] = []
  let stateNames: Hello["stateNames"] = []
  let rates: Array<Array<number>> = []
  let last: PageUpdate | undefined
  let page = 0
  let rows: ReadonlyArray<Row> = []

  const stateOf = (stream: number) => stateNames[last?.states[stream] ?? 0] ?? ""
  const isProblem = (stream: number) => isBad(stateOf(stream)) || (last?.gaps[stream] ?? 0) > 0

  const matching = (): ReadonlyArray<number> => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean)
    const found = streams.flatMap((parts, i) => {
      const text = parts.join(" ").toLowerCase()
      return words.every((word) => text.includes(word)) && (!problems.checked || isProblem(i)) ? [i] : []
    })
    return found.sort((a, b) => Number(isBad(stateOf(b))) - Number(isBad(stateOf(a))) || a - b)
  }

  const draw = () => {
    const found = matching()
    const pages = Math.max(1, Math.ceil(found.length / rowsPerPage))
    page = Math.min(page, pages - 1)
    const wanted = found.slice(page * rowsPerPage, (page + 1) * rowsPerPage)
    previous.disabled = page === 0
    next.disabled = page === pages - 1
    setText(byId("page", HTMLElement), `${page + 1} of ${pages}`)
    setText(
      byId("stream-count", HTMLElement),
      found.length === streams.length
        ? format.count(streams.length)
        : `${format.count(found.length)} of ${format.count(streams.length)}`
    )
    if (wanted.length === rows.length && wanted.every((stream, i) => rows[i]?.stream === stream)) return
    for (const row of rows) row.spark.remove()
    body.replaceChildren()
    if (wanted.length === 0) {
      body.append(make("tr", {}, make("td", { colspan: "8", class: "empty" }, "No stream fits.")))
    }
    rows = wanted.map(addRow)
    onShown()
  }

  const addRow = (stream: number): Row => {
    const [exchange = "", symbol = "", dataType = ""] = streams[stream] ?? []
    const state = make("span", { class: "badge" })
    const rate = make("td", { class: "number" })
    const spark = make("div", { class: "spark", "aria-hidden": "true" })
    const age = make("td", { class: "number" })
    const gaps = make("td", { class: "number" })
    body.append(
      make(
        "tr",
        { "data-stream": `${exchange}:${symbol}:${dataType}` },
        make("td", {}, exchange),
        make("td", {}, symbol),
        make("td", {}, dataType),
        make("td", {}, state),
        rate,
        make("td", {}, spark),
        age,
        gaps
      )
    )
    return { stream, state, rate, age, gaps, spark: chart(spark) }
  }

  const fill = () => {
    if (last === undefined) return
    for (const { age, gaps, rate, spark, state, stream } of rows) {
      const name = stateOf(stream)
      state.dataset.state = name
      setText(state, name)
      setText(rate, format.rate(last.rates[stream] ?? 0))
      setText(age, format.age(last.ages[stream] ?? -1))
      const found = last.gaps[stream] ?? 0
      setText(gaps, format.count(found))
      gaps.classList.toggle("warn", found > 0)
      const line = rates[stream] ?? []
      spark.show(
        line.map((_, i) => i),
        line
      )
    }
  }

  const redraw = () => {
    draw()
    fill()
  }
  const turn = (by: number) => () => {
    page += by
    redraw()
  }
  filter.addEventListener("input", () => {
    page = 0
    redraw()
  })
  problems.addEventListener("change", redraw)
  previous.addEventListener("click", turn(-1))
  next.addEventListener("click", turn(1))

  return {
    begin: (hello) => {
      streams = hello.streams
      stateNames = hello.stateNames
      rates = hello.rates.map((line) => [...line])
      last = undefined
      for (const row of rows) row.spark.remove()
      rows = []
      draw()
    },
    update: (tick) => {
      last = tick
      for (const [stream, rate] of tick.rates.entries()) {
        const line = rates[stream] ?? []
        line.push(rate)
        if (line.length > secondsShown) line.shift()
        rates[stream] = line
      }
      redraw()
    },
    shown: () => rows.map(({ stream }) => (streams[stream] ?? []).join(":"))
  }
}

const isBad = (state: string): boolean => state !== "live" && state !== "subscribed"
