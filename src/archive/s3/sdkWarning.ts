import { Effect } from "effect"

/**
 * For a process without a storage thread: silences the AWS SDK's notice on stderr that it will require a newer Node one day.
 */
export const withoutSdkWarning: Effect.Effect<void> = Effect.sync(() => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true"
})
