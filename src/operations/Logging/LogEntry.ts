import {
  Array as Arr,
  Cause,
  Context,
  Either,
  FiberRef,
  FiberRefs,
  type Logger,
  Option,
  Tracer
} from "effect"
import { type Plain, plain, textOf } from "./plain.ts"

/** What was logged, as values that JSON can hold: without secrets or cycles, and bounded. */
export interface LogEntry {
  /** Milliseconds since the epoch. */
  readonly time: number
  /** As named by Effect: `INFO`, `WARN`, … */
  readonly level: string
  /** The annotation `module`, or "". */
  readonly module: string
  readonly message: string
  /** The other annotations, in alphabetical order of their names. */
  readonly fields: ReadonlyArray<readonly [string, Plain]>
  /** What went wrong, on one line, and with all stacks. */
  readonly cause: { readonly line: string; readonly stacks: string } | undefined
  /** Log spans: the duration of each so far, milliseconds. */
  readonly spans: ReadonlyArray<readonly [string, number]>
  /** The tracing span in which it was logged. */
  readonly trace: { readonly traceId: string; readonly spanId: string } | undefined
}

/** Converts what was logged. Never throws, whatever it is. */
export const logEntry = (log: Logger.Logger.Options<unknown>): LogEntry => {
  const time = log.date.getTime()
  const annotations = Array.from(log.annotations, ([name, value]) => [name, plain(value)] as const)
  const module = annotations.find(([name]) => name === "module")
  return {
    time,
    level: log.logLevel.label,
    module: module === undefined ? "" : textOf(module[1]),
    message: Arr.ensure(log.message)
      .map((part) => textOf(plain(part)))
      .join(" "),
    fields: annotations.filter(([name]) => name !== "module").sort(([a], [b]) => (a < b ? -1 : 1)),
    cause: Cause.isEmpty(log.cause) ? undefined : causeOf(log.cause),
    spans: Array.from(log.spans, (span) => [span.label, time - span.startTime] as const),
    trace: traceOf(log.context)
  }
}

const traceOf = (context: FiberRefs.FiberRefs): LogEntry["trace"] => {
  const span = Context.getOption(FiberRefs.getOrDefault(context, FiberRef.currentContext), Tracer.ParentSpan)
  return Option.isNone(span) ? undefined : { traceId: span.value.traceId, spanId: span.value.spanId }
}

const causeOf = (cause: Cause.Cause<unknown>) => {
  if (Cause.isInterruptedOnly(cause)) return { line: "interrupted", stacks: "interrupted" }
  const errors = [...Cause.failures(cause), ...Cause.defects(cause)]
  return {
    line: errors.map((error) => textOf(plain(error))).join("; "),
    stacks: Either.getOrElse(
      Either.try(() => textOf(plain(Cause.pretty(cause, { renderErrorCause: true })))),
      () => unprintable
    )
  }
}

const unprintable = "(cannot be printed)"
