/** A step's drawings as rows of a table, in the order in which they were drawn. */
import { type Drawing, type Rollout } from "../domain.ts"
import { rewardsOf, type RewardOptions } from "../lessons/advantage.ts"
import type { CompletionRow } from "../stages/Tracker.ts"

const keyOf = ({ index, prompt }: Drawing["candidate"]): string => `${index} ${prompt.id}`

/** @param judge heads the column of rewards */
export const completionRows = (options: RewardOptions, judge: string, { drawings, lessons, pairs }: Rollout): ReadonlyArray<CompletionRow> => {
  const groups = [...Map.groupBy(pairs, ({ a }) => a.prompt.id).values()]
  const rewards = new Map(rewardsOf(options, groups).flat().map(({ candidate, reward }) => [keyOf(candidate), reward]))
  const advantages = new Map(lessons.flatMap((lesson) => lesson._tag === "Advantage" ? [[keyOf(lesson.candidate), lesson.advantage] as const] : []))
  return drawings.map(({ candidate, rendering }) => {
    const key = keyOf(candidate)
    const reward = rewards.get(key)
    return {
      prompt: candidate.prompt.text,
      completion: candidate.svg,
      rewards: reward === undefined ? {} : { [judge]: reward },
      advantage: advantages.get(key),
      outcome: rendering._tag === "Rendered" ? "rendered" : rendering.reason,
      tokens: candidate.completionIds.length,
      policyVersion: candidate.policyVersion
    }
  })
}
