/**
 * Numbers and reasons as people read them, in the report and in the studio. It imports nothing: the studio's page loads it as it is.
 */

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
