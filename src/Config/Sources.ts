import type { FileSystem } from "@effect/platform"
import { Config, Effect, Either, HashSet, Option } from "effect"
import { quote } from "../domain/quote.ts"
import { didYouMean, mostSimilar } from "../domain/similarWords.ts"
import type { Given, Sources } from "./Given.ts"
import { check } from "./Rule.ts"
import * as rules from "./rules.ts"
import { readTomlFile, type TomlFile } from "./TomlFile.ts"

/** Reads the variables with these names, and the file named by CONFIG_PATH, if any. */
export const loadSources = (
  names: ReadonlyArray<string>
): Effect.Effect<Sources, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const entries = yield* Effect.forEach(["CONFIG_PATH", ...names], variable)
    const variables = new Map(entries.flatMap(Option.toArray))
    const misspelt = yield* misspeltVariables(["CONFIG_PATH", ...names])
    const sources = yield* sourcesOf(names, variables)
    return { ...sources, problems: [...misspelt, ...sources.problems] }
  })

const sourcesOf = (names: ReadonlyArray<string>, variables: ReadonlyMap<string, string>) =>
  Effect.gen(function* () {
    const path = variables.get("CONFIG_PATH")
    if (path === undefined) return make(names, variables, Option.none(), [])
    if (path === "") return make(names, variables, Option.none(), [blankPath])
    const checked = check({ _tag: "Variable", name: "CONFIG_PATH", text: path }, rules.path)
    if (Either.isLeft(checked)) return make(names, variables, Option.none(), checked.left)
    return yield* Effect.match(readTomlFile(path), {
      onFailure: (line) => make(names, variables, Option.none(), [line]),
      onSuccess: (file) => make(names, variables, Option.some(file), unknownKeys(file, names))
    })
  })

const make = (
  names: ReadonlyArray<string>,
  variables: ReadonlyMap<string, string>,
  file: Option.Option<TomlFile>,
  problems: ReadonlyArray<string>
): Sources => {
  const fileEntries = new Map<string, Given>()
  if (Option.isSome(file)) {
    for (const name of names) {
      const key = name.toLowerCase()
      if (!file.value.values.has(key)) continue
      const value = file.value.values.get(key)
      fileEntries.set(name, { _tag: "FileEntry", name, value, key, file: file.value.name })
    }
  }
  return {
    find: (...wanted) => {
      for (const name of wanted) {
        const text = variables.get(name)
        if (text !== undefined && text !== "") return Option.some({ _tag: "Variable", name, text })
      }
      return Option.firstSomeOf(wanted.map((name) => Option.fromNullable(fileEntries.get(name))))
    },
    isBlank: (name) => variables.get(name) === "",
    complete: Option.isSome(file) || problems.length === 0,
    problems
  }
}

/** The name and trimmed text of a variable, if it is set. */
const variable = (name: string): Effect.Effect<Option.Option<readonly [string, string]>> =>
  Config.string(name).pipe(
    Effect.map((text) => [name, text.trim()] as const),
    Effect.option
  )

/** Reports variables whose names are nearly those of settings: they would be ignored. */
const misspeltVariables = (names: ReadonlyArray<string>) =>
  Effect.map(variableNames, (found) =>
    found.flatMap((name) => {
      const meant = names.includes(name) ? undefined : mostSimilar(name, names, maxMistakes)
      return meant === undefined ? [] : [`${name}: there is no such setting (did you mean ${meant}?)`]
    })
  )

/** Longer names could differ by more, but then they often belong to something else. */
const maxMistakes = 2

/** The names of all variables known to the provider, which splits a name at its separators and cannot list whole ones. */
const variableNames = Effect.configProviderWith(({ flattened }) => {
  const below = (path: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>> =>
    Effect.gen(function* () {
      const children = yield* Effect.orElseSucceed(flattened.enumerateChildren(path), HashSet.empty<string>)
      const names = yield* Effect.forEach(children, (child) => below([...path, child]))
      const own = path.join("_")
      const isSet = path.length > 0 && Option.isSome(yield* variable(own))
      return [...(isSet ? [own] : []), ...names.flat()]
    })
  return below([])
})

const blankPath = 'CONFIG_PATH="": must be the path of a TOML file (leave the variable out to use none)'

const unknownKeys = (file: TomlFile, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const known = names.map((name) => name.toLowerCase())
  return Array.from(file.values.keys())
    .filter((key) => !known.includes(key))
    .map((key) => `${file.name}: there is no setting ${quote(key)}${didYouMean(key, known)}`)
}
