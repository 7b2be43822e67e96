import { Either } from "effect"
import { garbageBytes, garbageShape, garbageText } from "../market/requests.ts"
import { type ClientSession, noEnvelope } from "../Protocol.ts"
import { answerOf, decode } from "./requests.ts"

/** A session for `system.status` only, which reports changes of maintenances. */
export const makeStatusSession = (connection: string): ClientSession => {
  const answer = answerOf(connection)
  let isTold = false
  return {
    streams: [],
    receive: (text) =>
      Either.match(decode(text), {
        onLeft: () => [answer(false, "Failed to decode incoming data", "", undefined)],
        onRight: ({ args = [], op, req_id }) => {
          if (op === "ping") return [answer(true, "pong", "ping", req_id)]
          const problem = args.find((topic) => topic !== "system.status")
          if (op !== "subscribe" || problem !== undefined) {
            return [answer(false, `error:handler not found,topic:${problem ?? ""}`, op, req_id)]
          }
          isTold = true
          return [answer(true, "subscribe", op, req_id)]
        }
      }),
    envelope: () => noEnvelope,
    garbage: (kind) => (kind === "binary" ? garbageBytes : kind === "text" ? garbageText : garbageShape),
    closingNotice: () => answer(true, "", "notice", undefined),
    says: ({ status, text }) =>
      isTold
        ? JSON.stringify({
            topic: "system.status",
            ts: 1751858399649,
            data: [
              {
                id: "4d95b2a0-587f-11f0-bcc9-56f28c94d6ea",
                title: text === "" ? "System maintenance" : text,
                state: status,
                begin: "1798675200000",
                end: "1798678800000",
                href: "",
                serviceTypes: [2, 3, 4, 5],
                product: [1, 2],
                uidSuffix: [],
                maintainType: 1,
                env: 1
              }
            ]
          })
        : undefined
  }
}
