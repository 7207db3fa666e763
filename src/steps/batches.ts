/** Prompts: which of them a step draws, and in which batches. */
import type { Prompt } from "../domain.ts"
import { random, shuffled } from "../engine/random.ts"
import { type PipelineConfig, versionFor } from "./config.ts"

/**
 * The prompts of step n: without replacement within an epoch, which is `floor(prompts / promptsPerStep)` whole steps
 * of a shuffle by hash(seed, epoch). What is left over waits for the next epoch, so no step has a prompt twice.
 */
export const promptsOfStep = (
  prompts: ReadonlyArray<Prompt>,
  { promptsPerStep, seed }: Pick<PipelineConfig, "promptsPerStep" | "seed">,
  step: number
): ReadonlyArray<Prompt> => {
  const perStep = Math.min(promptsPerStep, prompts.length)
  if (perStep === 0) return []
  const stepsPerEpoch = Math.floor(prompts.length / perStep)
  const start = (step % stepsPerEpoch) * perStep
  return shuffled(random(seed, Math.floor(step / stepsPerEpoch)), prompts).slice(start, start + perStep)
}

/** Prompts that are sampled together; the last one of a step completes its rollout. */
export interface Batch {
  readonly step: number
  readonly version: number
  readonly prompts: ReadonlyArray<Prompt>
  readonly last: boolean
}

/** Steps `firstStep` .. `steps - 1`, each as its batches, in order. Prompts with the same id count once; none give none. */
export function* batchesOf(config: PipelineConfig, prompts: ReadonlyArray<Prompt>): Generator<Batch> {
  const distinct = [...new Map(prompts.map((prompt) => [prompt.id, prompt])).values()]
  for (let step = config.firstStep; step < config.steps; step++) {
    const chosen = promptsOfStep(distinct, config, step)
    for (let start = 0; start < chosen.length; start += config.promptsPerBatch) {
      const end = start + config.promptsPerBatch
      yield { step, version: versionFor(config, step), prompts: chosen.slice(start, end), last: end >= chosen.length }
    }
  }
}
