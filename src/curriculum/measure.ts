/** Measures a policy on the held-out prompts of a stage. */
import { Effect } from "effect"
import type { Drawing, Prompt } from "../domain.ts"
import type { PolicySnapshot } from "../stages/Policy.ts"
import { renderCandidate } from "../stages/render-for.ts"
import { Sampler } from "../stages/Sampler.ts"
import type { Scorer } from "../stages/Scorer.ts"
import type { Measure } from "./stages.ts"

/** A drawing is right from this score on. */
const rightFrom = 0.9

/** Training counts its steps from 0, and the evaluation of a whole run has -1: these seeds are nobody else's. */
const stepOf = (rollout: number): number => -2 - rollout

export interface MeasureRequest {
  readonly measure: Measure
  readonly prompts: ReadonlyArray<Prompt>
  /** At least so many, the same number of each prompt; 0 without prompts. */
  readonly drawings: number
  readonly scorers: ReadonlyArray<Scorer>
  readonly seed: number
  readonly rollout: number
  readonly policy: PolicySnapshot
  readonly promptsPerBatch: number
}

const mean = (numbers: ReadonlyArray<number>): number => numbers.length === 0 ? 0 : numbers.reduce((sum, x) => sum + x, 0) / numbers.length

/** The scores by the first scorer that knows every prompt, 0 for a drawing that did not render; empty if none does. */
const scoresOf = Effect.fnUntraced(function*(scorers: ReadonlyArray<Scorer>, drawings: ReadonlyArray<Drawing>) {
  for (const { score } of scorers) {
    const scores: Array<number> = []
    for (const { candidate, rendering } of drawings) {
      const given = rendering._tag === "Rendered" ? yield* score(candidate.prompt, rendering.picture) : 0
      if (given === undefined) break
      scores.push(given)
    }
    if (scores.length === drawings.length) return scores
  }
  return []
})

/** Draws as the run's sampler draws, and measures. A pure function of seed, rollout and policy. */
export const measureStage = Effect.fn("curriculum.measure")(function*(o: MeasureRequest) {
  yield* Effect.annotateCurrentSpan({ rollout: o.rollout, version: o.policy.version })
  const sampler = yield* Sampler
  const prompts = o.prompts.slice(0, o.drawings)
  const k = Math.ceil(o.drawings / Math.max(1, prompts.length))
  const drawings: Array<Drawing> = []
  for (let at = 0; at < prompts.length; at += o.promptsPerBatch) {
    const batch = prompts.slice(at, at + o.promptsPerBatch)
    const groups = yield* sampler.sample({ step: stepOf(o.rollout), prompts: batch, k, seed: o.seed, policy: o.policy })
    drawings.push(...yield* Effect.forEach(groups.flat(), renderCandidate, { concurrency: 4 }))
  }
  if (o.measure === "validity") return mean(drawings.map(({ rendering }) => rendering._tag === "Rendered" ? 1 : 0))
  const scores = yield* scoresOf(o.scorers, drawings)
  return mean(o.measure === "score" ? scores : scores.map((score) => score >= rightFrom ? 1 : 0))
})
