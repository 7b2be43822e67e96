/** Of every thread: the AWS SDK announces on stderr that it will want a newer Node one day. */
export const threadEnvironment = { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" }
