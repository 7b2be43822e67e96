/** Puts text in double quotes on one line, with control characters escaped, cut off after `limit` characters. */
export const quote = (text: string, limit = 120): string =>
  escapeControls(JSON.stringify(text.length > limit ? `${text.slice(0, limit)}…` : text))

/** Escapes everything that would break a line or steer a terminal. */
export const escapeControls = (text: string): string => text.replace(controls, escaped)

/** Matches control and format characters, line separators and halves of surrogate pairs. */
const controls = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu

const escaped = (character: string): string => {
  const short = shortEscapes.get(character)
  return short ?? `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`
}

const shortEscapes: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"]
])
