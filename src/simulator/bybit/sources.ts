import type { Instrument } from "../market/instrument.ts"
import { changesSource, type Levels, tradesSource, wholeBooksSource } from "../market/sources.ts"
import type { Source } from "../Protocol.ts"

/** Futures have `type` before `ts`. */
export const books = (topic: string, instrument: Instrument, isSpot: boolean) => {
  let updateId = 200_000_000
  let sequence = 100_000_000_000
  const kind = (type: string, now: number) =>
    isSpot ? `"ts":${now},"type":"${type}"` : `"type":"${type}","ts":${now}`
  const frame = (type: string, { asks, bids }: Levels, now: number) =>
    `{"topic":"${topic}",${kind(type, now)},"data":{"s":"${instrument.symbol}","b":${JSON.stringify(bids)},` +
    `"a":${JSON.stringify(asks)},"u":${updateId},"seq":${sequence}},"cts":${now - 3}}`
  return changesSource(topic, instrument, {
    change: (levels, now) => {
      updateId++
      sequence += 1 + (updateId % 7)
      return { id: `${updateId}-${sequence}`, text: frame("delta", levels, now) }
    },
    snapshot: (levels, now) => frame("snapshot", levels, now),
    missed: (count) => {
      updateId += count
      sequence += 5 * count
    }
  })
}

/** Futures name trades by UUIDs. */
export const trades = (topic: string, instrument: Instrument, isSpot: boolean) =>
  tradesSource(topic, instrument, {
    most: 4,
    write: (trades, now) => {
      const ids = trades.map(({ id }) =>
        isSpot
          ? `22900000${id.toString().padStart(11, "0")}`
          : `5f0c1d2e-7a3b-5c4d-8e6f-${id.toString().padStart(12, "0")}`
      )
      const first = ids[0] ?? ""
      const data = trades.map((trade, i) => ({
        i: ids[i],
        T: trade.time,
        p: trade.price,
        v: trade.quantity,
        S: trade.side === "buy" ? "Buy" : "Sell",
        seq: 100_000_000_000 + trade.id,
        s: instrument.symbol,
        BT: false,
        RPI: false
      }))
      return {
        id: ids.length === 1 ? first : `${first}-${ids.at(-1)}-${ids.length}`,
        text: `{"topic":"${topic}","ts":${now},"type":"snapshot","data":${JSON.stringify(data)}}`
      }
    }
  })

/** `orderbook.1`: whole best bids and offers. */
export const bests = (topic: string, instrument: Instrument): Source => {
  let updateId = 1_000_000
  return wholeBooksSource(topic, instrument, ({ asks, bids }, now, isSnapshot) => {
    if (!isSnapshot) updateId++
    const sequence = 100_000_000_000 + 7 * updateId
    const sides = `"b":${JSON.stringify(bids.slice(0, 1))},"a":${JSON.stringify(asks.slice(0, 1))}`
    return {
      id: `${updateId}-${sequence}`,
      text: `{"topic":"${topic}","ts":${now},"type":"snapshot","data":{"s":"${instrument.symbol}",${sides},"u":${updateId},"seq":${sequence}},"cts":${now - 3}}`
    }
  })
}

/** Whole tickers of spot; of futures a whole one for whoever begins to listen, then the members that changed. */
export const tickers = (topic: string, instrument: Instrument, isSpot: boolean): Source => {
  let sequence = 24_000_000_000
  return wholeBooksSource(topic, instrument, ({ asks, bids }, now, isSnapshot) => {
    if (!isSnapshot) sequence += 3
    const [bid1Price, bid1Size] = bids[0] ?? []
    const [ask1Price, ask1Size] = asks[0] ?? []
    const changed = isSpot
      ? { lastPrice: bid1Price, volume24h: "11801.27771", turnover24h: "243765620.65" }
      : { bid1Price, bid1Size, ask1Price, ask1Size, markPrice: bid1Price }
    const others = isSpot
      ? {}
      : {
          lastPrice: bid1Price,
          indexPrice: ask1Price,
          openInterest: "373504.107",
          openInterestValue: "6370461526.15",
          fundingRate: "-0.000212",
          nextFundingTime: "1798761600000"
        }
    const isWhole = isSpot || isSnapshot
    return {
      id: String(now),
      text: JSON.stringify({
        topic,
        type: isWhole ? "snapshot" : "delta",
        data: { symbol: instrument.symbol, ...changed, ...(isWhole ? others : {}) },
        cs: sequence,
        ts: now
      })
    }
  })
}

/** `allLiquidation`: nothing at the start, then all liquidations, several in a frame. */
export const liquidations = (topic: string, instrument: Instrument): Source => {
  const random = instrument.randomOf(`${topic} liquidations`)
  const { snapshot: _, ...source } = wholeBooksSource(topic, instrument, ({ asks, bids }, now) => {
    const data = [bids[0], ...(random() < 0.3 ? [asks[0]] : [])].map((level, i) => ({
      T: now - 2,
      s: instrument.symbol,
      S: i === 0 ? "Buy" : "Sell",
      v: level?.[1],
      p: level?.[0]
    }))
    return { id: String(now - 2), text: JSON.stringify({ topic, type: "snapshot", ts: now, data }) }
  })
  return source
}
