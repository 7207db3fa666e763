/** The sampler's box: the candidates of a batch. */
import { Effect } from "effect"
import type { Candidate } from "../domain.ts"
import { Policy } from "../stages/Policy.ts"
import { Sampler } from "../stages/Sampler.ts"
import type { Batch } from "./batches.ts"
import type { PipelineConfig } from "./config.ts"
import { seconds } from "./seconds.ts"

export interface Sampled extends Batch {
  /** `[prompt][k]` */
  readonly candidates: ReadonlyArray<ReadonlyArray<Candidate>>
  readonly sampleSeconds: number
}

/** Waits for the policy version of the batch, then draws k candidates a prompt from it. */
export const sampleBatch = ({ k, seed }: PipelineConfig) =>
  Effect.fn("pipeline.sample")(function*(batch: Batch) {
    yield* Effect.annotateCurrentSpan({ step: batch.step, version: batch.version })
    const policy = yield* (yield* Policy).at(batch.version)
    const { prompts, step } = batch
    const [candidates, sampleSeconds] = yield* seconds("sample", (yield* Sampler).sample({ step, prompts, k, seed, policy }))
    return { ...batch, candidates, sampleSeconds } satisfies Sampled
  })
