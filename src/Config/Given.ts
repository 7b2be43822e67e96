import type { Option } from "effect"

/** A setting as it was given, before any check. */
export type Given =
  | { readonly _tag: "Variable"; readonly name: string; readonly text: string }
  | {
      readonly _tag: "FileEntry"
      readonly name: string
      readonly value: unknown
      readonly key: string
      readonly file: string
    }

/** The environment over the settings file. */
export interface Sources {
  /**
   * The first that is given, in the order: the variables by these names, then the file's entries by these names.
   * A variable without text (white space aside) counts as not given.
   */
  readonly find: (...names: ReadonlyArray<string>) => Option.Option<Given>
  /** Whether the variable is there and without text. */
  readonly isBlank: (name: string) => boolean
  /** False if the settings file cannot be read: what is not given may stand there. */
  readonly complete: boolean
  /** What is wrong with the file as a whole. */
  readonly problems: ReadonlyArray<string>
}
