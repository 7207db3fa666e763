/** Which prompts a step draws, and in which batches. */
import type { Prompt } from "../domain.ts"
import { random, shuffled } from "../engine/random.ts"
import { type PipelineConfig, versionFor } from "./config.ts"

/**
 * The prompts of step n, drawn without replacement within an epoch. An epoch is `floor(prompts / promptsPerStep)` whole
 * steps of a shuffle by hash(seed, epoch). The leftover prompts wait for the next epoch, so no step has a prompt twice.
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

/** Prompts that are sampled together; the last batch of a step completes its rollout. */
export interface Batch {
  readonly step: number
  readonly version: number
  readonly prompts: ReadonlyArray<Prompt>
  readonly last: boolean
}

/**
 * The batches of steps `firstStep` .. `steps - 1`, in order. Prompts with the same id count once. Without prompts there
 * are no batches.
 */
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
