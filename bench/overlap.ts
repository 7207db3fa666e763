/**
 * Does training wait for judging? The real pipeline on the live clock, with fakes that only take time: a step's drawings
 * take 0.3 s to sample and 1 s to judge, its update 0.5 s. One after the other that is 1.8 s; overlapped, the judge
 * alone should set the pace.
 */
import { Effect, Layer, Stream } from "effect"
import * as BufferMemory from "../layers/buffer/memory.ts"
import * as JudgeFake from "../layers/judge/fake.ts"
import * as OptimizerFake from "../layers/optimizer/fake.ts"
import * as RendererCircles from "../layers/renderer/circles.ts"
import * as SamplerFake from "../layers/sampler/fake.ts"
import { Prompt } from "../src/domain.ts"
import { defaultPipeline, train } from "../src/pipeline.ts"
import { Policy } from "../src/stages/Policy.ts"

/** Seconds a step. */
const cost = { sample: 0.3, judge: 1, train: 0.5 }
const slowestStageSeconds = Math.max(cost.sample, cost.judge, cost.train)

// 20 prompts in 4 batches, one pair a prompt, 4 pairs judged at the same time.
const [promptsPerStep, promptsPerBatch, k, concurrency] = [20, 5, 2, 4]
const prompts = Array.from({ length: promptsPerStep }, (_, n) => new Prompt({ id: `${n}`, text: `thing ${n}` }))

export interface OverlapRow {
  readonly maxStaleness: number
  /** Mean wall-clock seconds between two reports, once the pipeline is full. */
  readonly seconds: number
  readonly slowestStageSeconds: number
  /** `seconds / slowestStageSeconds`: 1 is perfect overlap. */
  readonly ratio: number
}

/** One row each for `maxStaleness` 0, 1 and 2. The first `maxStaleness + 1` steps fill the pipeline and are left out. */
export const overlap = (measuredSteps = 4): Effect.Effect<ReadonlyArray<OverlapRow>> =>
  Effect.forEach([0, 1, 2], (maxStaleness) => {
    const initial = SamplerFake.initialPolicy(0.5)
    const stages = Layer.mergeAll(
      SamplerFake.layer({ cutOff: 0, delay: 1000 * cost.sample * promptsPerBatch / promptsPerStep }),
      RendererCircles.layer({ size: 64 }), // fine enough that no two drawings of a prompt look the same
      JudgeFake.layer({ delay: 1000 * cost.judge * concurrency / promptsPerStep, concurrency }),
      BufferMemory.layer({ maxStaleness, staleWeight: 1 }),
      OptimizerFake.layer({ initial, delay: 1000 * cost.train }),
      Policy.layer(initial, maxStaleness + 1)
    )
    const fill = maxStaleness + 1
    const config = { ...defaultPipeline, steps: fill + measuredSteps, promptsPerStep, promptsPerBatch, k, maxStaleness }
    return train(config, prompts).pipe(
      Stream.drop(fill),
      Stream.runFold(() => 0, (total, { metrics }) => total + metrics["seconds/step"]!),
      Effect.map((total) => total / measuredSteps),
      Effect.map((seconds) => ({ maxStaleness, seconds, slowestStageSeconds, ratio: seconds / slowestStageSeconds })),
      Effect.provide(stages),
      Effect.orDie // the fakes never fail
    )
  })

if (import.meta.main) console.table(await Effect.runPromise(overlap()))
