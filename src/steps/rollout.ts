/**
 * One function a box of the map. Each takes what the box before it made and adds its own part; order, overlap and
 * buffers are the business of pipeline.ts.
 */
import { Duration, Effect } from "effect"
import { comparePrompt, type InTurn } from "../lessons/compare.ts"
import { type PipelineConfig, versionFor } from "./config.ts"
import type { Candidate, Drawing, JudgedPair, Prompt, Rollout } from "../domain.ts"
import { hash32, random, shuffled } from "../engine/random.ts"
import { asksForText } from "../prompts.ts"
import { selectPreferences } from "../lessons/select.ts"
import { Optimizer } from "../stages/Optimizer.ts"
import { Policy } from "../stages/Policy.ts"
import { PreferenceBuffer } from "../stages/PreferenceBuffer.ts"
import { Renderer } from "../stages/Renderer.ts"
import { Sampler } from "../stages/Sampler.ts"
import { weighted } from "../lessons/weigh.ts"

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

const idWords = ({ id }: Prompt) => Array.from(id, (char) => char.codePointAt(0)!)

/** Key of a candidate's random numbers: the same whatever else is sampled beside it. */
export const candidateSeed = (seed: number, step: number, prompt: Prompt, index: number): number =>
  hash32(seed, step, ...idWords(prompt), index)

/** Key of the draw among a prompt's pairs, where not all are decided. */
export const pairCounters = ({ seed }: PipelineConfig, step: number, prompt: Prompt): ReadonlyArray<number> =>
  [seed, step, ...idWords(prompt)]

/** Prompts that are sampled together; the last one of a step completes its rollout. */
export interface Batch {
  readonly step: number
  readonly version: number
  readonly prompts: ReadonlyArray<Prompt>
  readonly last: boolean
}

interface Sampled extends Batch {
  /** `[prompt][k]` */
  readonly candidates: ReadonlyArray<ReadonlyArray<Candidate>>
  readonly sampleSeconds: number
}

interface Rendered extends Batch {
  /** `[prompt][k]` */
  readonly drawings: ReadonlyArray<ReadonlyArray<Drawing>>
  readonly sampleSeconds: number
  readonly renderSeconds: number
}

interface Judged extends Rendered {
  readonly pairs: ReadonlyArray<JudgedPair>
  readonly judgeSeconds: number
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

const seconds = Effect.fnUntraced(function*<A, E, R>(work: Effect.Effect<A, E, R>) {
  const [duration, value] = yield* Effect.timed(work)
  return [value, Duration.toSeconds(duration)] as const
})

/** Waits for the policy version of the batch, then draws k candidates a prompt from it. */
export const sampleBatch = ({ k, seed }: PipelineConfig) =>
  Effect.fn("pipeline.sample")(function*(batch: Batch) {
    yield* Effect.annotateCurrentSpan({ step: batch.step, version: batch.version })
    const policy = yield* (yield* Policy).at(batch.version)
    const { prompts, step } = batch
    const [candidates, sampleSeconds] = yield* seconds((yield* Sampler).sample({ step, prompts, k, seed, policy }))
    return { ...batch, candidates, sampleSeconds } satisfies Sampled
  })

/** Text to pixels. A drawing that is rejected or kills its renderer stays in the batch. */
export const renderBatch = ({ renderConcurrency }: PipelineConfig) =>
  Effect.fn("pipeline.render")(function*({ candidates, ...batch }: Sampled) {
    const renderer = yield* Renderer
    const [rendered, renderSeconds] = yield* seconds(Effect.forEach(
      candidates.flat(),
      (candidate) =>
        renderer.render(candidate.svg, { allowText: asksForText(candidate.prompt) }).pipe(
          Effect.map((rendering): Drawing => ({ candidate, rendering }))
        ),
      { concurrency: renderConcurrency }
    ))
    let next = 0
    const drawings = candidates.map((group) => rendered.slice(next, next += group.length))
    return { ...batch, drawings, renderSeconds } satisfies Rendered
  })

/** Decides the pairs of each prompt, `inTurn` limiting how many judgments are under way; the result keeps their order. */
export const judgeBatch = (
  config: PipelineConfig,
  inTurn: InTurn
) =>
  Effect.fn("pipeline.judge")(function*(batch: Rendered) {
    const [pairs, judgeSeconds] = yield* seconds(Effect.forEach(batch.drawings, (drawings, n) => {
      const prompt = batch.prompts[n]!
      return comparePrompt(config, prompt, drawings, pairCounters(config, batch.step, prompt), inTurn)
    }, { concurrency: "unbounded" }))
    return { ...batch, pairs: pairs.flat(), judgeSeconds } satisfies Judged
  })

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, x) => total + x, 0)

/** The batches of one step, put together; their seconds are added up. */
export const rolloutOf = (
  config: PipelineConfig,
  batches: readonly [Judged, ...ReadonlyArray<Judged>]
): Rollout => {
  const { step, version } = batches[0]
  const groups = batches.flatMap((batch) =>
    batch.prompts.map(({ id }) => {
      const pairs = batch.pairs.filter(({ a }) => a.prompt.id === id)
      return { pairs, preferences: selectPreferences(config, pairs) }
    })
  )
  return {
    step,
    policyVersion: version,
    drawings: batches.flatMap(({ drawings }) => drawings.flat()),
    pairs: batches.flatMap(({ pairs }) => pairs),
    preferences: weighted(config, groups),
    seconds: {
      sample: sum(batches.map(({ sampleSeconds }) => sampleSeconds)),
      render: sum(batches.map(({ renderSeconds }) => renderSeconds)),
      judge: sum(batches.map(({ judgeSeconds }) => judgeSeconds))
    }
  }
}

export const noBatches = (): ReadonlyArray<Judged> => []

/** `Stream.mapAccum` step: holds the batches of a step until its last one has come. */
export const gather = (config: PipelineConfig) =>
  (held: ReadonlyArray<Judged>, batch: Judged): readonly [ReadonlyArray<Judged>, ReadonlyArray<Rollout>] => {
    const [first = batch, ...rest] = [...held, batch]
    return batch.last ? [[], [rolloutOf(config, [first, ...rest])]] : [[first, ...rest], []]
  }

/** Stores the rollout, takes what may be trained at this step, trains it and publishes the next version. */
export const optimize = Effect.fn("pipeline.optimize")(function*(rollout: Rollout) {
  yield* Effect.annotateCurrentSpan({ step: rollout.step })
  const buffer = yield* PreferenceBuffer
  yield* buffer.put(rollout)
  const taken = yield* buffer.take(rollout.step)
  const [{ metrics, snapshot }, trainSeconds] = yield* seconds((yield* Optimizer).step(taken.preferences))
  yield* (yield* Policy).publish(snapshot)
  return { rollout, taken, metrics, trainSeconds }
})

export type Optimized = Effect.Success<ReturnType<typeof optimize>>
