import type { ClientConnectionStatus } from "./ClientConnection.ts"
import type { StreamStatus } from "./Feed.ts"

/** What a simulated exchange sees of its clients. */
export interface SimulatorStatus {
  /** The open connections. */
  readonly connections: ReadonlyArray<ClientConnectionStatus>
  /** Connections since the start. */
  readonly accepted: number
  /** Upgrades refused since the start. */
  readonly refused: number
  /** What clients did that the exchange does not allow, and how often. */
  readonly violations: Readonly<{ [rule: string]: number }>
  /** Streams that somebody asked for and that exist. */
  readonly streams: Readonly<{ [stream: string]: StreamStatus }>
}
