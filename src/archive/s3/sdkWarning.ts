import { Effect } from "effect"

/** For a process that has no storage thread: the AWS SDK announces on stderr that it will want a newer Node one day. */
export const withoutSdkWarning: Effect.Effect<void> = Effect.sync(() => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true"
})
