/** The element of the page with this id, which exists and is of this kind. */
export const byId = <E extends HTMLElement>(id: string, kind: new () => E): E => {
  const found = document.getElementById(id)
  if (!(found instanceof kind)) throw new Error(`the page has no #${id}`)
  return found
}

/** Creates an element. Text stays text: nothing from outside becomes markup. */
export const make = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: ReadonlyArray<Node | string>
): HTMLElementTagNameMap[K] => {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

/** The rows of a table. */
export const bodyOf = (table: HTMLTableElement): HTMLTableSectionElement =>
  table.tBodies[0] ?? table.createTBody()

/** Sets a text only if it differs, so that unchanged elements are not laid out again. */
export const setText = (element: Element, text: string): void => {
  if (element.textContent !== text) element.textContent = text
}
