/**
 * The run as a loop, one thing after the other: slow, and plain enough to be right by reading. What pipeline.ts must
 * equal, bit for bit, at `maxStaleness` 0; `config.maxStaleness` is not looked at.
 */
import { Effect } from "effect"
import type { PipelineConfig } from "./config-pipeline.ts"
import type { Drawing, JudgedPair, Preference, Prompt } from "./domain.ts"
import { makeReport, type StepOutcome } from "./metrics.ts"
import { decide, pairsToDecide } from "./pairing.ts"
import type { PipelineError, Stages } from "./pipeline.ts"
import { asksForText, optimize, pairCounters, promptsOfStep } from "./rollout.ts"
import { selectPreferences } from "./selection.ts"
import { Policy } from "./stages/Policy.ts"
import { Renderer } from "./stages/Renderer.ts"
import { Sampler } from "./stages/Sampler.ts"

/** Every outcome, at the end. Prompts must be distinct. */
export const sequential = Effect.fn("pipeline.sequential")(function*(
  config: PipelineConfig,
  prompts: ReadonlyArray<Prompt>
): Effect.fn.Return<ReadonlyArray<StepOutcome>, PipelineError, Stages> {
  const sampler = yield* Sampler
  const renderer = yield* Renderer
  const report = yield* makeReport
  const outcomes: Array<StepOutcome> = []

  for (let step = config.firstStep; step < config.steps; step++) {
    const policy = yield* (yield* Policy).latest
    const ofStep = promptsOfStep(prompts, config, step)
    const all: Array<Drawing> = []
    const pairs: Array<JudgedPair> = []
    const preferences: Array<Preference> = []

    for (let start = 0; start < ofStep.length; start += config.promptsPerBatch) {
      const batch = ofStep.slice(start, start + config.promptsPerBatch)
      const groups = yield* sampler.sample({ step, prompts: batch, k: config.k, seed: config.seed, policy })
      for (const [n, prompt] of batch.entries()) {
        const drawings: Array<Drawing> = []
        for (const candidate of groups[n]!) {
          const rendering = yield* renderer.render(candidate.svg, { allowText: asksForText(prompt) })
          drawings.push({ candidate, rendering })
        }
        const decided: Array<JudgedPair> = []
        for (const pair of pairsToDecide(drawings, config.maxPairsPerPrompt, pairCounters(config, step, prompt))) {
          decided.push(yield* decide(prompt, pair))
        }
        all.push(...drawings)
        pairs.push(...decided)
        preferences.push(...selectPreferences(config, decided))
      }
    }
    const seconds = { sample: 0, render: 0, judge: 0 }
    const rollout = { step, policyVersion: policy.version, drawings: all, pairs, preferences, seconds }
    outcomes.push(yield* report(optimize(rollout)))
  }
  return outcomes
})
