/**
 * Turns the verdicts about one prompt into advantages: how much better or worse than the prompt's average each
 * candidate is.
 *
 * A candidate's reward is the share of its comparisons that it won, in [0, 1]; a tie counts half. This is the win rate
 * of Pref-GRPO (Wang et al. 2025, arXiv:2508.20751). Ours: a comparison without an answer is not counted, so a judge
 * that fails moves no candidate; Pref-GRPO counts it as one half. The baseline is the mean reward of the prompt's
 * candidates (group-relative, without division by the deviation, as in Dr. GRPO, Liu et al. 2025, arXiv:2503.20783).
 */
import { Advantage, type JudgedPair } from "../domain.ts"
import { informative, winRates } from "./order.ts"

/**
 * One advantage for each candidate with at least one answer, by index: reward minus baseline, in (-1, 1). Candidates
 * without an answer get none and are not in the baseline. Candidates at the baseline would change nothing and are left
 * out.
 */
export const advantages = (pairs: ReadonlyArray<JudgedPair>, k: number): Array<Advantage> => {
  const answered = informative(pairs)
  const candidates = new Map(answered.flatMap(({ a, b }) => [[a.index, a] as const, [b.index, b] as const]))
  const rewards = winRates(answered, k)
  const baseline = [...candidates.keys()].reduce((sum, index) => sum + rewards[index]!, 0) / candidates.size
  return [...candidates.values()].toSorted((a, b) => a.index - b.index).flatMap((candidate) => {
    const advantage = rewards[candidate.index]! - baseline
    return advantage === 0 ? [] : [new Advantage({ prompt: candidate.prompt, candidate, advantage, weight: 1 })]
  })
}
