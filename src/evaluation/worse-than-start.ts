/** Whether a run's result is worse than what it started from, beyond chance, each policy at its best temperature. */
import type { Evaluated } from "./measures.ts"
import { moved, overallOf } from "./sentence.ts"

type Result = Pick<Evaluated, "learning">

/** A sentence for people, or undefined. */
export const worseThanStart = ({ learning }: Result): string | undefined => {
  const overall = learning === null ? undefined : overallOf(learning)
  return overall?.told === "worse"
    ? `The trained policy is worse than its start: ${moved(overall)}, each at its best temperature. Do not use its adapter; try a lower --learning-rate, or another judge.`
    : undefined
}

/** Whether it is better than its start, beyond chance. */
export const betterThanStart = ({ learning }: Result): boolean => learning !== null && overallOf(learning).told === "better"
