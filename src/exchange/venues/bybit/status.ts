import { maintenancesIn } from "../../decoding/maintenance.ts"
import type { Said } from "../../StatusWatch.ts"

/**
 * The maintenances of a frame of `system.status`, `{topic, data: [...]}`, or of the answer of `/v5/system/status`,
 * `{result: {list: [...]}}`, which has old ones too (bybit-exchange/docs, v5, July 2026). What is over is only told of those that
 * were heard of before.
 */
export const readStatus = (frame: Buffer): ReadonlyArray<Said> =>
  maintenancesIn(frame).map((said) =>
    said.status === "completed" || said.status === "canceled" ? { ...said, isUsual: true } : said
  )
