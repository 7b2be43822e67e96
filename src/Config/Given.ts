import type { Option } from "effect"

/** A setting as given, before any check. */
export type Given =
  | { readonly _tag: "Variable"; readonly name: string; readonly text: string }
  | {
      readonly _tag: "FileEntry"
      readonly name: string
      readonly value: unknown
      readonly key: string
      readonly file: string
    }

/** The environment, which takes precedence over the settings file. */
export interface Sources {
  /**
   * Finds the first that is given, in this order: the variables with these names, then the file's entries with these names. A
   * variable without text (ignoring white space) counts as not given.
   */
  readonly find: (...names: ReadonlyArray<string>) => Option.Option<Given>
  /** Whether the variable is set but has no text. */
  readonly isBlank: (name: string) => boolean
  /** False if the settings file cannot be read: settings that were not found may be in it. */
  readonly complete: boolean
  /** Problems of the file as a whole. */
  readonly problems: ReadonlyArray<string>
}
