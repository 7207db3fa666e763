/** The renderer's box: from text to pixels. */
import { Effect } from "effect"
import type { Drawing } from "../domain.ts"
import { renderCandidate } from "../stages/render-for.ts"
import type { Batch } from "./batches.ts"
import type { PipelineConfig } from "./config.ts"
import type { Sampled } from "./sample.ts"
import { seconds } from "./seconds.ts"

export interface Rendered extends Batch {
  /** `[prompt][k]` */
  readonly drawings: ReadonlyArray<ReadonlyArray<Drawing>>
  readonly sampleSeconds: number
  readonly renderSeconds: number
}

/** Renders every candidate of a batch. A drawing that is rejected or kills its renderer stays in the batch. */
export const renderBatch = ({ renderConcurrency }: PipelineConfig) =>
  Effect.fn("pipeline.render")(function*({ candidates, ...batch }: Sampled) {
    const [rendered, renderSeconds] = yield* seconds(
      "render",
      Effect.forEach(candidates.flat(), renderCandidate, { concurrency: renderConcurrency })
    )
    let next = 0
    const drawings = candidates.map((group) => rendered.slice(next, next += group.length))
    return { ...batch, drawings, renderSeconds } satisfies Rendered
  })
