/** Markup in which text is escaped unless it is marked as markup, and numbers as people read them. */

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

/** A narrow space that keeps a number and its unit on one line. */
const thin = "\u202f"

/** Whole per cent, but never 0 or 100 for a share that is neither 0 nor 1. */
const perCent = (share: number): string => {
  const whole = Math.round(100 * share)
  return (whole === 0 && share > 0) || (whole === 100 && share < 1) ? (100 * share).toFixed(1) : String(whole)
}

export const percent = (share: number): string => `${perCent(share)}${thin}%`

export const interval = ({ lower, upper }: { readonly lower: number; readonly upper: number }): string =>
  `${perCent(lower)}–${percent(upper)}`

export const integer = (n: number): string => Math.round(n).toLocaleString("en-US")

/** `1 step`, `2 steps` */
export const counted = (n: number, noun: string): string => `${integer(n)} ${noun}${n === 1 ? "" : "s"}`

/** Three significant digits. */
export const number = (n: number): string =>
  n.toLocaleString("en-US", { maximumSignificantDigits: 3 }).replace("-", "−")

export const duration = (seconds: number): string => {
  if (seconds < 10) return `${number(seconds)}${thin}s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole}${thin}s`
  const minutes = Math.floor(whole / 60)
  return whole < 3600
    ? `${minutes}${thin}min ${whole % 60}${thin}s`
    : `${Math.floor(minutes / 60)}${thin}h ${minutes % 60}${thin}min`
}

export const dollars = (usd: number): string => usd === 0 ? "$0" : usd < 0.01 ? "under $0.01" : `$${usd.toFixed(2)}`
