import { contentHash, idOfReuse } from "../domain/contentHash.ts"
import type { RecordedMessage } from "./Recorded.ts"

/**
 * Makes a filter that passes each message once, whoever recorded it: a copy has the same id and the same content. To be called in
 * the order of receive time. Copies are recognized for ten minutes and, beyond a million messages in that time, for as long as
 * these last.
 */
export const makeOnceEach = (): ((message: RecordedMessage) => boolean) => {
  /** In the order of receipt. */
  const known = new Map<string, number>()
  return ({ data, exchangeSequenceId, stream, timestamp }) => {
    const hash = contentHash(stream.exchange, data)
    const own = idOfReuse("", hash)
    const id = exchangeSequenceId.endsWith(own) ? exchangeSequenceId : exchangeSequenceId + own
    const key = `${stream.exchange} ${stream.symbol} ${stream.dataType} ${id}`
    for (const [oldest, at] of known) {
      if (timestamp - at <= rememberedMicros && known.size < maxRemembered) break
      known.delete(oldest)
    }
    if (known.has(key)) return false
    known.set(key, timestamp)
    return true
  }
}

const rememberedMicros = 600_000_000

/** Some 200 bytes each. */
const maxRemembered = 1_000_000
