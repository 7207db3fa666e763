/** Numbers and reasons as people read them; the report (src/report/html.ts) writes them the same way. */

/** A narrow space that keeps a number and its unit on one line. */
const thin = "\u202f"

/** Whole per cent, but never 0 or 100 for a share that is neither 0 nor 1. */
const perCent = (share: number): string => {
  const whole = Math.round(100 * share)
  return (whole === 0 && share > 0) || (whole === 100 && share < 1) ? (100 * share).toFixed(1) : String(whole)
}

export const percent = (share: number): string => `${perCent(share)}${thin}%`

export const integer = (n: number): string => Math.round(n).toLocaleString("en-US")

/** `1 step`, `2 steps` */
export const counted = (n: number, noun: string): string => `${integer(n)} ${noun}${n === 1 ? "" : "s"}`

/** Three significant digits. */
export const number = (n: number): string => n.toLocaleString("en-US", { maximumSignificantDigits: 3 }).replace("-", "−")

export const fixed = (n: number, digits: number): string => n.toFixed(digits).replace("-", "−")

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

export const nats = (n: number): string => `${fixed(n, 2)}${thin}nats`

/** @param at milliseconds since 1970 */
export const time = (at: number): string => new Date(at).toLocaleTimeString("en-GB")

/** @param at milliseconds since 1970 */
export const date = (at: number): string =>
  new Date(at).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" })

/** Why a drawing did not render, and which ways there are. */
export const meanings: Readonly<Record<string, string>> = {
  "no-svg": "no complete <svg> in the text",
  "too-large": "over the limits on bytes, elements or nesting",
  malformed: "not well-formed XML",
  "not-svg": "the root is not svg",
  forbidden: "scripts, images, external references, unknown elements",
  text: "drawn letters the prompt did not ask for",
  "bad-number": "a number not finite or out of range",
  cycle: "references in a cycle, or too costly",
  "render-error": "refused by the renderer",
  blank: "next to nothing visible",
  deadline: "took too long",
  memory: "took too much memory",
  crash: "the renderer’s process died"
}

const finishes: Readonly<Record<string, string>> = {
  stop: "ended by itself",
  eos: "ended by itself",
  length: "cut off at the limit",
  malformed: "cut off as malformed"
}

export const finished = (finish: string): string => finishes[finish] ?? finish
