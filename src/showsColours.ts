import { Config, Effect } from "effect"

/** Whether what is written there is read on a terminal, by somebody who has not asked for plain text (NO_COLOR). */
export const showsColours = (output: { readonly isTTY?: boolean | undefined }): Effect.Effect<boolean> =>
  Effect.match(Config.nonEmptyString("NO_COLOR"), {
    onFailure: () => output.isTTY === true,
    onSuccess: () => false
  })
