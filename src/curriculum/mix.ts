/** Which prompts a rollout draws at its position in a curriculum. */
import type { Prompt } from "../domain.ts"
import { hash32 } from "../engine/random.ts"
import { promptsOfStep } from "../steps/batches.ts"
import type { PipelineConfig } from "../steps/config.ts"
import type { Position } from "./stages.ts"

interface Staged {
  /** Prompts that are trained, each once. */
  readonly prompts: ReadonlyArray<Prompt>
  readonly keep: number
}

/** Each prompt once, in the order in which the stages bring it. */
export const distinct = (prompts: ReadonlyArray<Prompt>): ReadonlyArray<Prompt> =>
  [...new Map(prompts.map((prompt) => [prompt.id, prompt])).values()]

const without = (prompts: ReadonlyArray<Prompt>, others: ReadonlyArray<Prompt>): ReadonlyArray<Prompt> => {
  const ids = new Set(others.map(({ id }) => id))
  return prompts.filter(({ id }) => !ids.has(id))
}

/** How many of a step's prompts come from earlier stages: the share `keep`, rounded, of the prompts it has in the end. */
const keptOf = (keep: number, promptsPerStep: number, own: number, earlier: number): number => {
  if (keep === 0) return 0
  const kept = Math.min(Math.max(1, Math.round(keep * promptsPerStep)), promptsPerStep - 1)
  const few = own < promptsPerStep - kept // the stage's own prompts do not fill the step
  return Math.min(earlier, few ? Math.max(1, Math.round(own * keep / (1 - keep))) : kept)
}

/**
 * The prompts of a rollout: those that the stage adds, and a share of those of earlier stages; both in epochs without
 * replacement, counted from the stage's first rollout. The stage's own prompts are all it has if it adds none.
 */
export const promptsAt = (
  stages: ReadonlyArray<Staged>,
  { since, stage }: Pick<Position, "since" | "stage">,
  rollout: number,
  { promptsPerStep, seed }: Pick<PipelineConfig, "promptsPerStep" | "seed">
): ReadonlyArray<Prompt> => {
  const { keep, prompts } = stages[stage]!
  const before = distinct(stages.slice(0, stage).flatMap(({ prompts }) => prompts))
  const added = without(prompts, before)
  const own = added.length === 0 ? prompts : added
  const earlier = without(before, own)
  const kept = keptOf(keep, promptsPerStep, own.length, earlier.length)
  const drawn = (from: ReadonlyArray<Prompt>, count: number, key: number) =>
    count <= 0 ? [] : promptsOfStep(from, { promptsPerStep: count, seed: hash32(seed, key, stage) }, rollout - since)
  return [...drawn(own, promptsPerStep - kept, 0xc1), ...drawn(earlier, kept, 0xc2)]
}
