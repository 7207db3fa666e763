/** Whether a run's result is worse than what it started from, beyond chance. */
import { type Interval, percent, wilson } from "./statistics.ts"

export interface Result {
  /** Share of held-out prompts on which the trained policy beats the one it started from, and its interval; n 0: none. */
  readonly winRate: Interval & { readonly n: number; readonly scorer: string }
  /** Share of held-out drawings that render. */
  readonly validity: { readonly before: number; readonly after: number }
}

/** A sentence for people, or undefined. */
export const worseThanStart = ({ validity, winRate: w }: Result): string | undefined => {
  if (w.n === 0) return undefined
  const [before, after] = [validity.before, validity.after].map((share) => wilson(share * w.n, w.n)) as [Interval, Interval]
  const why = w.upper < 0.5
    ? `it beats it on ${percent(w.value)} of ${w.n} held-out prompts [${percent(w.lower)}, ${percent(w.upper)}] (${w.scorer})`
    : after.upper < before.lower
    ? `${percent(validity.after)} of its held-out drawings render, and ${percent(validity.before)} did before`
    : undefined
  return why && `The trained policy is worse than its start: ${why}. Do not use its adapter; try a lower --learning-rate, or another judge.`
}

/** Whether it is better than its start, beyond chance. */
export const betterThanStart = (result: Result): boolean =>
  result.winRate.n > 0 && result.winRate.lower > 0.5 && worseThanStart(result) === undefined
