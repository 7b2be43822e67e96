import type { ClientConnectionStatus } from "./ClientConnection.ts"
import type { StreamStatus } from "./Feed.ts"

/** What a simulated exchange sees of its clients. */
export interface SimulatorStatus {
  /** The open connections. */
  readonly connections: ReadonlyArray<ClientConnectionStatus>
  /** How many connections were accepted since the start. */
  readonly accepted: number
  /** How many upgrades were refused since the start. */
  readonly refused: number
  /** How often clients violated each of the exchange's rules. */
  readonly violations: Readonly<{ [rule: string]: number }>
  /** Requests to its REST interface since the start, without those for the list of instruments. */
  readonly requests: number
  /** The existing streams that any client has requested. */
  readonly streams: Readonly<{ [stream: string]: StreamStatus }>
}
