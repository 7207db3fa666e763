/**
 * Turns the verdicts about a step's prompts into advantages: how much better or worse than the prompt's average each
 * candidate is. The baseline is the mean reward of the prompt's candidates.
 *
 * `win_rate`: a candidate's reward is the share of its comparisons that it won, in [0, 1]; a tie counts half. This is the
 * win rate of Pref-GRPO (Wang et al. 2025, arXiv:2508.20751). Ours: a comparison without an answer is not counted, so a
 * judge that fails moves no candidate; Pref-GRPO counts it as one half.
 *
 * `score`: the score that the judge gave it, in the judge's unit; a mean where its scores differ. A drawing that did not
 * render gets the lowest score of the step. A candidate without a score has no reward.
 *
 * With a length reward, SGP-RL's (Chen et al. 2025, arXiv:2509.05208), a drawing that the gate did not turn away gets
 *
 *      weight * clip(1 - characters / limit, 0, 1)
 *
 * on top. No judge sees a drawing's text, so this is no judge's term.
 */
import { Advantage, type Candidate, type JudgedPair } from "../domain.ts"
import type { LengthReward, LessonOptions } from "./options.ts"
import { informative, winRates } from "./order.ts"

export type RewardOptions = Pick<LessonOptions, "k" | "lengthReward" | "reward">

export interface Rewarded {
  readonly candidate: Candidate
  /** [0, 1], or in the unit of the judge's scores. */
  readonly reward: number
}

const candidatesOf = (pairs: ReadonlyArray<JudgedPair>): ReadonlyArray<Candidate> =>
  [...new Map(pairs.flatMap(({ a, b }) => [[a.index, a] as const, [b.index, b] as const])).values()].toSorted((a, b) => a.index - b.index)

/** Candidates with at least one answer. */
const won = (k: number) => (pairs: ReadonlyArray<JudgedPair>): ReadonlyArray<Rewarded> => {
  const answered = informative(pairs)
  const rates = winRates(answered, k)
  return candidatesOf(answered).map((candidate) => ({ candidate, reward: rates[candidate.index]! }))
}

/** Indices of the candidates that the gate turned away: in a pair that it decided, the loser, or both. */
const turnedAway = (pairs: ReadonlyArray<JudgedPair>): ReadonlySet<number> =>
  new Set(pairs.flatMap(({ a, b, verdict: { by, outcome } }) =>
    by !== "gate" ? [] : outcome === "A" ? [b.index] : outcome === "B" ? [a.index] : outcome === "invalid" ? [a.index, b.index] : []))

const scoresOf = (pairs: ReadonlyArray<JudgedPair>): ReadonlyMap<number, number> => {
  const told = pairs.flatMap(({ a, b, verdict: { scores } }) =>
    scores === undefined ? [] : [[a.index, scores[0]] as const, [b.index, scores[1]] as const])
  return new Map([...Map.groupBy(told, ([index]) => index)].map(([index, own]) => [index, mean(own.map(([, score]) => score))]))
}

/** @param groups the judged pairs of each prompt of a step */
const scored = (groups: ReadonlyArray<ReadonlyArray<JudgedPair>>): ReadonlyArray<ReadonlyArray<Rewarded>> => {
  const all = groups.map(scoresOf)
  const lowest = all.flatMap((own) => [...own.values()]).reduce((least, score) => Math.min(least, score), Infinity)
  return groups.map((pairs, n) => {
    const away = turnedAway(pairs)
    return candidatesOf(pairs).flatMap((candidate) => {
      const reward = all[n]!.get(candidate.index) ?? (away.has(candidate.index) && lowest < Infinity ? lowest : undefined)
      return reward === undefined ? [] : [{ candidate, reward }]
    })
  })
}

/**
 * The rewards of each prompt's candidates, in the order of their indices; those without one are left out.
 * @param groups the judged pairs of each prompt of a step
 */
export const rewardsOf = (
  { k, lengthReward, reward = "win_rate" }: RewardOptions,
  groups: ReadonlyArray<ReadonlyArray<JudgedPair>>
): ReadonlyArray<ReadonlyArray<Rewarded>> => {
  const rewarded = reward === "score" ? scored(groups) : groups.map(won(k))
  return lengthReward === undefined ? rewarded : rewarded.map((group, n) => {
    const away = turnedAway(groups[n]!)
    return group.map((own) => (away.has(own.candidate.index) ? own : { ...own, reward: own.reward + shortness(lengthReward, own.candidate) }))
  })
}

const shortness = ({ characters, weight }: LengthReward, { svg }: Candidate): number =>
  weight * Math.min(1, Math.max(0, 1 - svg.length / characters))

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
  options: RewardOptions & Pick<LessonOptions, "maskTruncated" | "scaleRewards">,
  groups: ReadonlyArray<ReadonlyArray<JudgedPair>>
): Array<Advantage> => {
  const { maskTruncated = false, scaleRewards = "none" } = options
  const rewarded = rewardsOf(options, groups)
  const all = centred(rewarded.map((group) => group.map(({ reward }) => reward)), scaleRewards)
  return rewarded.flatMap((group, n) =>
    group.flatMap(({ candidate }, i) => {
      const advantage = all[n]![i]!
      return advantage === 0 || (maskTruncated && candidate.finish === "length")
        ? []
        : [new Advantage({ prompt: candidate.prompt, candidate, advantage, weight: 1 })]
    }))
}
