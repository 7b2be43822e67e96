import { maintenancesIn } from "../../decoding/maintenance.ts"
import type { Said } from "../../StatusWatch.ts"

/**
 * Reads the maintenances from a frame of `system.status`, `{topic, data: [...]}`, or from the answer of `/v5/system/status`,
 * `{result: {list: [...]}}`, which includes old ones (bybit-exchange/docs, v5, July 2026). The end of a maintenance is only
 * reported if the maintenance was reported before.
 */
export const readStatus = (frame: Buffer): ReadonlyArray<Said> =>
  maintenancesIn(frame).map((said) =>
    said.status === "completed" || said.status === "canceled" ? { ...said, isUsual: true } : said
  )
