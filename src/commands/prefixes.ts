import { Option } from "effect"
import { archiveKey } from "../domain/Archive.ts"
import { exchanges } from "../exchange/registry.ts"
import type { ServerCoverage } from "./coverage/read.ts"
import type { SelectionOptions } from "./selection.ts"

/**
 * The prefixes of the selected streams: only what was requested is listed. Symbols are found however the journals spell them.
 */
export const prefixesOf = (
  { exchange, symbol }: SelectionOptions,
  servers: ReadonlyArray<ServerCoverage>
): ReadonlyArray<string> => {
  const names = Option.match(exchange, {
    onNone: () => Array.from(exchanges.keys()),
    onSome: (name) => [name.toLowerCase()]
  })
  const folderOf = (exchange: string, symbol: string) => {
    const stream = { exchange, symbol, dataType: "" }
    const key = archiveKey({ stream, date: "", serverName: "", firstTimestamp: 0, archiveId: "" })
    return key.slice(0, key.indexOf("data_type="))
  }
  if (Option.isNone(symbol)) {
    return Option.isNone(exchange)
      ? ["exchange="]
      : names.map((name) => folderOf(name, "").replace(/symbol=.*/, ""))
  }
  const known = servers.flatMap(({ streams }) => streams.map(({ stream }) => stream.symbol))
  const given = symbol.value
  const spellings = new Set([
    given,
    given.toLowerCase(),
    given.toUpperCase(),
    ...known.filter((symbol) => symbol.toLowerCase() === given.toLowerCase())
  ])
  return names.flatMap((name) => Array.from(spellings, (symbol) => folderOf(name, symbol)))
}
