/** Which prompts a step draws, and in which batches. */
import { Effect, Option, Stream } from "effect"
import type { Prompt } from "../domain.ts"
import { random, shuffled } from "../engine/random.ts"
import type { Policy, VersionGone } from "../stages/Policy.ts"
import type { Renderer, RendererUnavailable } from "../stages/Renderer.ts"
import type { Sampler, SamplerFailed } from "../stages/Sampler.ts"
import { type PipelineConfig, versionFor } from "./config.ts"

/** What one rollout draws. */
export interface Drawn {
  readonly prompts: ReadonlyArray<Prompt>
  /** What the course says of this rollout, under names of metrics.jsonl. */
  readonly courseMetrics?: Readonly<Record<string, number>> | undefined
}

/**
 * Decides what each rollout draws, when it is about to be drawn. It may look at earlier rollouts and at the version that
 * this one is drawn from, so it waits no longer than the rollout itself would, and no number depends on how fast a stage
 * is.
 */
export interface Course {
  /** Asked once for each rollout, in their order. `undefined`: the run ends before this rollout. */
  readonly rollout: (step: number, version: number) => Effect.Effect<
    Drawn | undefined,
    SamplerFailed | RendererUnavailable | VersionGone,
    Sampler | Renderer | Policy
  >
}

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

/** Draws from the same prompts all along. Prompts with the same id count once. */
const fixedCourse = (config: PipelineConfig, prompts: ReadonlyArray<Prompt>): Course => {
  const distinct = [...new Map(prompts.map((prompt) => [prompt.id, prompt])).values()]
  return { rollout: (step) => Effect.succeed({ prompts: promptsOfStep(distinct, config, step) }) }
}

export const courseOf = (config: PipelineConfig, prompts: ReadonlyArray<Prompt> | Course): Course =>
  "rollout" in prompts ? prompts : fixedCourse(config, prompts)

/** Prompts that are sampled together; the last batch of a step completes its rollout. */
export interface Batch extends Drawn {
  readonly step: number
  readonly version: number
  readonly last: boolean
}

/**
 * The batches of steps `firstStep` .. `steps - 1`, in order. The course is asked for a rollout once the batches of the
 * one before are taken. A rollout without prompts has no batches.
 */
export const batchesOf = (config: PipelineConfig, prompts: ReadonlyArray<Prompt> | Course) => {
  const course = courseOf(config, prompts)
  return Stream.paginate(config.firstStep, Effect.fnUntraced(function*(step: number) {
    const none: ReadonlyArray<Batch> = []
    if (step >= config.steps) return [none, Option.none<number>()] as const
    const version = versionFor(config, step)
    const drawn = yield* course.rollout(step, version)
    if (drawn === undefined) return [none, Option.none<number>()] as const
    const batches: Array<Batch> = []
    for (let start = 0; start < drawn.prompts.length; start += config.promptsPerBatch) {
      const end = start + config.promptsPerBatch
      batches.push({ ...drawn, step, version, prompts: drawn.prompts.slice(start, end), last: end >= drawn.prompts.length })
    }
    return [batches, Option.some(step + 1)] as const
  }))
}
