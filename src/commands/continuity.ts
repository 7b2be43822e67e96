import type { ContinuityRule } from "../exchange/Continuity.ts"
import { exchanges } from "../exchange/registry.ts"

const unproven: ContinuityRule = { kind: "none", scope: "stream", spansConnections: false }

/** How the messages of a stream prove that none is missing; of an exchange that is not known they do not. */
export const ruleOf = (stream: { readonly exchange: string; readonly dataType: string }): ContinuityRule => {
  const known = exchanges.get(stream.exchange)
  const type = known?.dataTypes.find((type) => type === stream.dataType)
  return known === undefined || type === undefined ? unproven : known.continuity(type)
}

/** Whether the messages of a stream prove that none is missing. */
export const isProvable = (stream: { readonly exchange: string; readonly dataType: string }): boolean =>
  ruleOf(stream).kind !== "none"

/** Whether the numbers of a stream are the exchange's own: a message has the same ones for everybody who receives it. */
export const isNumbered = (stream: { readonly exchange: string; readonly dataType: string }): boolean => {
  const { kind, scope, spansConnections } = ruleOf(stream)
  return kind !== "none" && scope === "stream" && spansConnections
}
