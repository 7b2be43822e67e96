import { Config, Effect } from "effect"

/** Whether an output is a terminal whose user has not requested plain text (NO_COLOR). */
export const showsColours = (output: { readonly isTTY?: boolean | undefined }): Effect.Effect<boolean> =>
  Effect.match(Config.nonEmptyString("NO_COLOR"), {
    onFailure: () => output.isTTY === true,
    onSuccess: () => false
  })
