/** Runs of the whole pipeline with fake stages, to be compared with one another. */
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as BufferMemory from "../../layers/buffer/memory.ts"
import * as JudgeFake from "../../layers/judge/fake.ts"
import * as OptimizerFake from "../../layers/optimizer/fake.ts"
import * as RendererCircles from "../../layers/renderer/circles.ts"
import * as SamplerFake from "../../layers/sampler/fake.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { defaultPipeline, type PipelineConfig, type StepOutcome, train } from "../../src/pipeline.ts"
import { Optimizer } from "../../src/stages/Optimizer.ts"
import { Policy } from "../../src/stages/Policy.ts"
import { prompt } from "../stages/make.ts"

export const prompts = Array.from({ length: 11 }, (_, n) => prompt(`thing ${n}`))
export const config: PipelineConfig = { ...defaultPipeline, steps: 6, seed: 5, promptsPerStep: 4, promptsPerBatch: 2, maxStaleness: 0 }

/** Milliseconds of the test's clock. */
export interface Delays {
  readonly sample?: number | ((step: number) => number)
  readonly judge?: number
  readonly train?: number | ((version: number) => number)
}

/** All boxes but the judge. */
export const boxes = ({ sample = 0, train = 0 }: Delays = {}, keep = 4) => {
  const initial = SamplerFake.initialPolicy()
  return Layer.mergeAll(
    SamplerFake.layer({ delay: sample }),
    RendererCircles.layer({ size: 16 }),
    BufferMemory.layer({ maxStaleness: keep - 1, staleWeight: 0.9 }),
    OptimizerFake.layer({ initial, delay: train }),
    Policy.layer(initial, keep)
  )
}
export const stages = (delays: Delays = {}, keep = 4) =>
  Layer.merge(boxes(delays, keep), JudgeFake.layer({ delay: delays.judge ?? 0 }))

/** Lets virtual time run until the effect ends. */
export const inVirtualTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("50 millis")
    return yield* Fiber.join(fiber)
  })

const plain = (parameters: Parameters) => [...parameters].map(([name, { data }]) => [name, [...data]])

/** All that must be equal between two runs: everything but the clock's numbers. */
const timeless = (outcomes: ReadonlyArray<StepOutcome>) =>
  outcomes.map(({ metrics, policyVersion, rollout, step }) => ({
    step,
    policyVersion,
    rollout: { ...rollout, seconds: undefined },
    metrics: Object.fromEntries(Object.entries(metrics).filter(([name]) => !name.startsWith("seconds/")))
  }))

export const finished = <E, R>(run: Effect.Effect<ReadonlyArray<StepOutcome>, E, R>) =>
  Effect.gen(function*() {
    const outcomes = yield* run
    const { parameters, updates, version } = yield* (yield* Optimizer).state
    return { outcomes: timeless(outcomes), parameters: plain(parameters), updates, version }
  })
export const trained = (config: PipelineConfig, delays: Delays = {}) =>
  finished(Stream.runCollect(train(config, prompts))).pipe(Effect.provide(stages(delays)))
