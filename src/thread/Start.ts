import { Schema } from "effect"
import { StartupError } from "../domain/StartupError.ts"

/**
 * Makes a new thread ready: the storage thread opens the database and starts archiving, that of the status page listens. It is the
 * first request, under the name by which runners recognize it.
 */
export class Start extends Schema.TaggedRequest<Start>()("InitialMessage", {
  failure: StartupError,
  success: Schema.Void,
  payload: {}
}) {}
