import { BroadcastChannel, getEnvironmentData, setEnvironmentData } from "node:worker_threads"
import { Effect, Option, Schema } from "effect"
import { LogDirectives } from "../../domain/StorageSettings.ts"

/** The channel, and the name under which threads that start later find the latest directives. */
const name = "collector log directives"

const encode = Schema.encodeSync(LogDirectives)
const decode = Schema.decodeUnknownOption(LogDirectives)

/** Changes the levels of all threads of the process, also of those that are started later. */
export const changeLevels = (directives: LogDirectives): Effect.Effect<void> =>
  Effect.sync(() => {
    const { level, modules } = encode(directives)
    const text = JSON.stringify({ level, modules })
    setEnvironmentData(name, text)
    const channel = new BroadcastChannel(name)
    channel.postMessage(text)
    channel.close()
  })

/** Calls `onChange` whenever the levels change while the scope is open. Returns those that were changed before, if they were. */
export const followLevels = (onChange: (directives: LogDirectives) => void) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const channel = new BroadcastChannel(name)
        channel.onmessage = (message) => Option.map(read(dataOf(message)), onChange)
        channel.unref()
        return channel
      }),
      (channel) => Effect.sync(() => channel.close())
    ),
    () => read(getEnvironmentData(name))
  )

const dataOf = (message: unknown): unknown =>
  typeof message === "object" && message !== null && "data" in message ? message.data : undefined

const read = (text: unknown): Option.Option<LogDirectives> => Option.flatMap(decodeJson(text), decode)

const decodeJson = Schema.decodeUnknownOption(Schema.parseJson())

/** Directives as LOG_LEVEL spells them. */
export const levelsText = ({ level, modules }: LogDirectives): string =>
  [level, ...Array.from(modules, ([module, level]) => [module, level] as const)]
    .map((part) => ("_tag" in part ? part._tag : `${part[0]}=${part[1]._tag}`).toLowerCase())
    .join()
