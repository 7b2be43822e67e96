import { bodyOf, byId, make, setText } from "./dom.ts"
import * as format from "./format.ts"

/** The heat map. */
export interface HeatMap {
  /** Fetches the coverage of these streams, by their keys, and shows it. */
  readonly show: (streams: ReadonlyArray<string>) => void
}

/** The answer of `/api/coverage`. */
interface CoverageAnswer {
  readonly from: number
  readonly hours: number
  readonly knownFrom: number
  readonly reading: { readonly what: string; readonly done: number } | null
  readonly streams: ReadonlyArray<{
    readonly exchange: string
    readonly symbol: string
    readonly dataType: string
    readonly unverifiable: boolean
    readonly wanted: ReadonlyArray<number>
    readonly holes: ReadonlyArray<number>
    readonly messages: ReadonlyArray<number>
  }>
}

/** The answer of `/api/coverage/events`. */
interface EventsAnswer {
  readonly events: ReadonlyArray<{
    readonly kind: string
    readonly from: number
    readonly to: number
    readonly text: string
  }>
}

const refreshMillis = 10_000
const microsPerHour = 3_600_000_000

export const heatMap = (): HeatMap => {
  const table = byId("heat", HTMLTableElement)
  const body = bodyOf(table)
  const days = byId("days", HTMLSelectElement)
  const details = byId("events", HTMLElement)
  const reading = byId("reading", HTMLElement)
  let streams: ReadonlyArray<string> = []
  let shown = ""
  let asked = 0

  const load = async () => {
    const request = ++asked
    const query = new URLSearchParams([["days", days.value], ...streams.map((key) => ["stream", key])])
    const coverage = streams.length === 0 ? undefined : await read<CoverageAnswer>(`/api/coverage?${query}`)
    if (request === asked) draw(coverage)
  }

  const draw = (coverage: CoverageAnswer | undefined) => {
    setText(reading, coverage === undefined ? "" : whatIsKnown(coverage))
    const text = JSON.stringify(coverage)
    if (text === shown) return
    shown = text
    const active = document.activeElement
    const focused = active instanceof HTMLButtonElement ? active.dataset.cell : undefined
    table.tHead?.replaceChildren(...(coverage === undefined ? [] : [header(coverage)]))
    const rows = [...(coverage?.streams ?? [])].sort(
      (a, b) => streams.indexOf(keyOf(a)) - streams.indexOf(keyOf(b))
    )
    body.replaceChildren(...rows.map((row) => heatRow(row, coverage?.from ?? 0, coverage?.knownFrom ?? 0)))
    if (rows.length === 0) {
      body.append(
        make("tr", {}, make("td", { class: "empty" }, "The journal says nothing about these streams yet."))
      )
    }
    const cells = [...body.querySelectorAll("button")]
    const again = cells.find((cell) => cell.dataset.cell === focused)
    const tabStop = again ?? cells.at(-1)
    if (tabStop !== undefined) tabStop.tabIndex = 0
    again?.focus({ preventScroll: true })
  }

  const open = async (cell: HTMLButtonElement) => {
    const { at = "0", stream = "" } = cell.dataset
    const reply = await read<EventsAnswer>(
      `/api/coverage/events?${new URLSearchParams({ stream, from: at })}`
    )
    const events = reply?.events ?? []
    const close = make("button", { type: "button" }, "Close")
    close.addEventListener("click", () => {
      details.hidden = true
      cell.focus()
    })
    details.replaceChildren(
      make("h2", {}, `${stream}, the hour from ${format.dateTime(Number(at) / 1000).slice(0, 16)} UTC`),
      make("p", {}, cell.getAttribute("aria-label") ?? ""),
      events.length === 0
        ? make("p", { class: "muted" }, "No holes.")
        : make(
            "ul",
            {},
            ...events.map(({ from, kind, text, to }) =>
              make(
                "li",
                { "data-kind": kind },
                make(
                  "time",
                  {},
                  `${format.dateTime(from / 1000).slice(11)} to ${format.dateTime(to / 1000).slice(11)}`
                ),
                ` (${format.duration((to - from) / 1e6)}) `,
                make("strong", {}, kind),
                `: ${text}`
              )
            )
          ),
      close
    )
    details.hidden = false
  }

  const onKey = (event: KeyboardEvent) => {
    const cell = event.target
    if (!(cell instanceof HTMLButtonElement)) return
    const row = cell.closest("tr")
    const cells = row === null ? [] : [...row.querySelectorAll("button")]
    const column = cells.indexOf(cell)
    const neighbour = (sibling: Element | null | undefined) => sibling?.querySelectorAll("button")[column]
    const targets: Readonly<Record<string, () => HTMLButtonElement | undefined>> = {
      ArrowLeft: () => cells[column - 1],
      ArrowRight: () => cells[column + 1],
      ArrowUp: () => neighbour(row?.previousElementSibling),
      ArrowDown: () => neighbour(row?.nextElementSibling),
      Home: () => cells[0],
      End: () => cells.at(-1)
    }
    const target = targets[event.key]?.()
    if (target === undefined) return
    event.preventDefault()
    cell.tabIndex = -1
    target.tabIndex = 0
    target.focus()
  }

  body.addEventListener("keydown", onKey)
  body.addEventListener("click", (event) => {
    if (event.target instanceof HTMLButtonElement) void open(event.target)
  })
  days.addEventListener("change", () => void load())
  setInterval(() => void load(), refreshMillis)

  return {
    show: (keys) => {
      streams = keys
      void load()
    }
  }
}

/** One cell per day above its hours, or above the hours of it that are shown. */
const header = ({ from, hours }: CoverageAnswer): HTMLTableRowElement => {
  const row = make(
    "tr",
    {},
    make("th", { class: "name", scope: "col" }, make("span", { class: "muted" }, "stream"))
  )
  for (let hour = 0; hour < hours; ) {
    const at = new Date((from + hour * microsPerHour) / 1000)
    const span = Math.min(24 - at.getUTCHours(), hours - hour)
    const label = span < 6 ? "" : at.toISOString().slice(5, 10)
    row.append(make("th", { colspan: String(span), scope: "colgroup" }, label))
    hour += span
  }
  return row
}

/** Describes what is missing from what is shown, for now or for good. */
const whatIsKnown = ({ from, knownFrom, reading }: CoverageAnswer): string => {
  const since =
    knownFrom > from
      ? `Before ${format.dateTime(knownFrom / 1000).slice(0, 16)} UTC nothing is known here.`
      : ""
  return reading === null
    ? since
    : `The journal is being read from the ${reading.what}: ${Math.floor(reading.done * 100)} % so far. ${since}`
}

const heatRow = (
  stream: CoverageAnswer["streams"][number],
  from: number,
  knownFrom: number
): HTMLTableRowElement => {
  const key = keyOf(stream)
  const row = make(
    "tr",
    {},
    make("th", { scope: "row", title: key }, `${stream.exchange} ${stream.symbol} ${stream.dataType}`)
  )
  for (const [hour, wanted] of stream.wanted.entries()) {
    const at = from + hour * microsPerHour
    const hole = stream.holes[hour] ?? 0
    const messages = stream.messages[hour] ?? 0
    const kind = at + microsPerHour <= knownFrom ? "unknown" : kindOf(wanted, hole, stream.unverifiable)
    const label = `${format.dateTime(at / 1000).slice(0, 16)}: ${describe(kind, wanted, hole, messages)}`
    row.append(
      make(
        "td",
        {},
        make("button", {
          type: "button",
          class: "cell",
          tabindex: "-1",
          "data-kind": kind,
          "data-stream": key,
          "data-at": String(at),
          "data-cell": `${key} ${at}`,
          "aria-label": label,
          title: label
        })
      )
    )
  }
  return row
}

const keyOf = ({ dataType, exchange, symbol }: CoverageAnswer["streams"][number]): string =>
  `${exchange}:${symbol}:${dataType}`

const kindOf = (wanted: number, hole: number, unverifiable: boolean): string => {
  if (wanted === 0) return "none"
  if (hole === 0) return unverifiable ? "unverifiable" : "whole"
  return hole > wanted / 2 ? "lost" : "hole"
}

const describe = (kind: string, wanted: number, hole: number, messages: number): string => {
  if (kind === "none") return "not recorded"
  if (kind === "unknown") return "not known"
  const holes = hole === 0 ? "no hole" : `${format.duration(hole)} of ${format.duration(wanted)} in holes`
  return `${holes}, ${format.count(messages)} messages${kind === "unverifiable" ? ", unverifiable" : ""}`
}

/** The server's answer; undefined if there is none. */
const read = async <A>(url: string): Promise<A | undefined> => {
  const response = await fetch(url).catch(() => undefined)
  if (response?.ok !== true) return undefined
  const answer: A = await response.json()
  return answer
}
