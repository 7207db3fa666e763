/**
 * The run as a plain loop, one thing after the other: slow, but easy to check by reading. At `maxStaleness` 0,
 * pipeline.ts must equal it bit for bit; the loop itself ignores `config.maxStaleness`.
 */
import { Effect, Semaphore } from "effect"
import type { Drawing, JudgedPair, Prompt } from "../src/domain.ts"
import { comparePrompt, type InTurn } from "../src/lessons/compare.ts"
import type { PipelineError, Stages } from "../src/pipeline.ts"
import { Policy } from "../src/stages/Policy.ts"
import { renderCandidate } from "../src/stages/render-for.ts"
import { Sampler } from "../src/stages/Sampler.ts"
import { type Course, courseOf } from "../src/steps/batches.ts"
import type { PipelineConfig } from "../src/steps/config.ts"
import { pairCounters } from "../src/steps/judge.ts"
import { makeReport, type StepOutcome } from "../src/steps/metrics.ts"
import { optimize } from "../src/steps/optimize.ts"
import { teach } from "../src/steps/teach.ts"

/** Every outcome, at the end. */
export const sequential = Effect.fn("pipeline.sequential")(function*(
  config: PipelineConfig,
  prompts: ReadonlyArray<Prompt> | Course
): Effect.fn.Return<ReadonlyArray<StepOutcome>, PipelineError, Stages> {
  const sampler = yield* Sampler
  const report = yield* makeReport(config)
  const turn = yield* Semaphore.make(1)
  const oneByOne: InTurn = Semaphore.withPermit(turn)
  const course = courseOf(config, prompts)
  const outcomes: Array<StepOutcome> = []

  for (let step = config.firstStep; step < config.steps; step++) {
    const policy = yield* (yield* Policy).latest
    const drawn = yield* course.rollout(step, policy.version)
    if (drawn === undefined) break
    const { courseMetrics, prompts: ofStep } = drawn
    const all: Array<Drawing> = []
    const pairs: Array<JudgedPair> = []

    for (let start = 0; start < ofStep.length; start += config.promptsPerBatch) {
      const batch = ofStep.slice(start, start + config.promptsPerBatch)
      const candidates = yield* sampler.sample({ step, prompts: batch, k: config.k, seed: config.seed, policy })
      for (const [n, prompt] of batch.entries()) {
        const drawings: Array<Drawing> = []
        for (const candidate of candidates[n]!) drawings.push(yield* renderCandidate(candidate))
        const decided = yield* comparePrompt(config, prompt, drawings, pairCounters(config, step, prompt), oneByOne)
        all.push(...drawings)
        pairs.push(...decided)
      }
    }
    const seconds = { sample: 0, render: 0, judge: 0 }
    const rollout = teach(config)({ step, policyVersion: policy.version, courseMetrics, drawings: all, pairs, seconds })
    outcomes.push(yield* report(optimize(rollout)))
  }
  return outcomes
})
