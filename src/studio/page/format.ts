/** What the report's words (src/report/words.ts) do not have. */

export const fixed = (n: number, digits: number): string => n.toFixed(digits).replace("-", "−")

export const nats = (n: number): string => `${fixed(n, 2)}\u202fnats`

/** @param at milliseconds since 1970 */
export const time = (at: number): string => new Date(at).toLocaleTimeString("en-GB")

/** @param at milliseconds since 1970 */
export const date = (at: number): string =>
  new Date(at).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" })

const finishes: Readonly<Record<string, string>> = {
  stop: "ended by itself",
  eos: "ended by itself",
  length: "cut off at the limit",
  malformed: "cut off as malformed"
}

export const finished = (finish: string): string => finishes[finish] ?? finish
