/** Markup in which text is escaped unless it is marked as markup. */

export interface Html {
  readonly markup: string
}

type Part = Html | string | number | false | undefined | ReadonlyArray<Html>

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;", "'": "&#39;" }

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character]!)

const written = (part: Part): string => {
  if (part === undefined || part === false) return ""
  if (typeof part === "string") return escape(part)
  if (typeof part === "number") return String(part)
  return "markup" in part ? part.markup : part.map(({ markup }) => markup).join("")
}

/** Every `${...}` is escaped text, safe in an element and in a quoted attribute; markup goes in as `Html`. */
export const html = (strings: TemplateStringsArray, ...parts: ReadonlyArray<Part>): Html => ({
  markup: strings.map((text, i) => text + written(parts[i])).join("")
})

/** For markup that this project wrote itself: style sheets, scripts. */
export const trusted = (markup: string): Html => ({ markup })

/** JSON that cannot end the script element around it. */
export const json = (value: unknown): Html => trusted(JSON.stringify(value).replaceAll("<", "\\u003c"))
