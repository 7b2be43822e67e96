import { Either, LogLevel } from "effect"
import { quote } from "../domain/quote.ts"
import type { LogDirectives } from "../domain/StorageSettings.ts"
import { didYouMean } from "../domain/similarWords.ts"
import type { Rule } from "./Rule.ts"

/** The values of the `module` annotation of log entries: the main areas of the code. */
const logModules = ["exchange", "ingest", "storage", "archive", "operations", "simulator", "main"] as const

/** Parses LOG_LEVEL: a level for all modules, and `module=level` for some, separated by commas. */
export const logDirectives: Rule<LogDirectives> = {
  type: "text",
  show: "value",
  parse: (text) => {
    const problems: Array<string> = []
    const modules = new Map<string, LogLevel.LogLevel>()
    let forAll: LogLevel.LogLevel | undefined
    for (const directive of text.split(",")) {
      const [first = "", second] = directive.split("=").map((part) => part.trim().toLowerCase())
      const name = second === undefined ? first : second
      const level = levels.get(name)
      if (directive.trim() === "" || directive.split("=").length > 2) {
        problems.push(`${quote(directive.trim())} must be a level or module=level`)
      } else if (level === undefined) {
        problems.push(
          `there is no level ${quote(name)}${didYouMean(name, levelNames)}, but ${levelNames.join(", ")}`
        )
      } else if (second === undefined) {
        if (forAll !== undefined) problems.push("the level for all modules is given twice")
        forAll = level
      } else if (!isModule(first)) {
        problems.push(
          `there is no module ${quote(first)}${didYouMean(first, logModules)}, but ${logModules.join(", ")}`
        )
      } else {
        if (modules.has(first)) problems.push(`the level for ${first} is given twice`)
        modules.set(first, level)
      }
    }
    return problems.length > 0
      ? Either.left(problems.join("; "))
      : Either.right({ level: forAll ?? LogLevel.Info, modules })
  }
}

const levels: ReadonlyMap<string, LogLevel.LogLevel> = new Map([
  ["trace", LogLevel.Trace],
  ["debug", LogLevel.Debug],
  ["info", LogLevel.Info],
  ["warning", LogLevel.Warning],
  ["warn", LogLevel.Warning],
  ["error", LogLevel.Error],
  ["fatal", LogLevel.Fatal],
  ["all", LogLevel.All],
  ["none", LogLevel.None],
  ["off", LogLevel.None]
])

const levelNames = ["trace", "debug", "info", "warning", "error", "fatal", "all", "none"]

const isModule = (name: string): boolean => logModules.some((module) => module === name)
