/**
 * Turns the verdicts about a step's prompts into advantages: how much better or worse than the prompt's average each
 * candidate is.
 *
 * A candidate's reward is the share of its comparisons that it won, in [0, 1]; a tie counts half. This is the win rate
 * of Pref-GRPO (Wang et al. 2025, arXiv:2508.20751). Ours: a comparison without an answer is not counted, so a judge
 * that fails moves no candidate; Pref-GRPO counts it as one half. The baseline is the mean reward of the prompt's
 * candidates.
 */
import { Advantage, type Candidate, type JudgedPair } from "../domain.ts"
import type { LessonOptions } from "./options.ts"
import { informative, winRates } from "./order.ts"

export interface Rewarded {
  readonly candidate: Candidate
  /** [0, 1] */
  readonly reward: number
}

/** Each candidate with at least one answer, by index. The others have no reward. */
export const rewardsOf = (pairs: ReadonlyArray<JudgedPair>, k: number): ReadonlyArray<Rewarded> => {
  const answered = informative(pairs)
  const candidates = new Map(answered.flatMap(({ a, b }) => [[a.index, a] as const, [b.index, b] as const]))
  const rewards = winRates(answered, k)
  return [...candidates.values()].toSorted((a, b) => a.index - b.index).map((candidate) => ({ candidate, reward: rewards[candidate.index]! }))
}

const mean = (xs: ReadonlyArray<number>): number => xs.reduce((sum, x) => sum + x, 0) / Math.max(1, xs.length)

/** Standard deviation with Bessel's correction, as TRL has it; 0 for fewer than two. */
export const deviation = (xs: ReadonlyArray<number>): number =>
  xs.length < 2 ? 0 : Math.sqrt(xs.reduce((sum, x) => sum + (x - mean(xs)) ** 2, 0) / (xs.length - 1))

/** Added to a deviation before dividing by it: TRL's. */
const epsilon = 1e-4

/**
 * Rewards minus the mean of their prompt, divided by the deviation of the prompt's rewards, by that of the step's, or by
 * nothing: TRL's `scale_rewards`.
 *
 * @param groups rewards of each prompt
 */
export const centred = (groups: ReadonlyArray<ReadonlyArray<number>>, scale: NonNullable<LessonOptions["scaleRewards"]>): ReadonlyArray<ReadonlyArray<number>> => {
  const ofBatch = deviation(groups.flat())
  return groups.map((rewards) => {
    const baseline = mean(rewards)
    const unit = scale === "none" ? 1 : epsilon + (scale === "batch" ? ofBatch : deviation(rewards))
    return rewards.map((reward) => (reward - baseline) / unit)
  })
}

/**
 * The advantages of a step. Candidates without an answer get none and are in no baseline. Candidates at the baseline
 * would change nothing and are left out; so are truncated ones with `maskTruncated`, which count in the baseline.
 *
 * @param groups the judged pairs of each prompt
 */
export const advantages = (
  { k, maskTruncated = false, scaleRewards = "none" }: Pick<LessonOptions, "k" | "maskTruncated" | "scaleRewards">,
  groups: ReadonlyArray<ReadonlyArray<JudgedPair>>
): Array<Advantage> => {
  const rewarded = groups.map((pairs) => rewardsOf(pairs, k))
  const all = centred(rewarded.map((group) => group.map(({ reward }) => reward)), scaleRewards)
  return rewarded.flatMap((group, n) =>
    group.flatMap(({ candidate }, i) => {
      const advantage = all[n]![i]!
      return advantage === 0 || (maskTruncated && candidate.finish === "length")
        ? []
        : [new Advantage({ prompt: candidate.prompt, candidate, advantage, weight: 1 })]
    }))
}
