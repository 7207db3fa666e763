/**
 * The map. Drawings flow down, the policy flows back:
 *
 *     Prompts ──▶ Sampler ──▶ Renderer ──▶ Judge ──▶ PreferenceBuffer ──▶ Optimizer
 *                    ▲         (gate)                                        │
 *                    └──────────── Policy: weights + version ◀───────────────┘
 *
 * Every box is a service; layers/ has the implementations. Ordering rules:
 *
 * 1. Rollout n is drawn from policy version `max(oldestVersion, n - maxStaleness)`; it waits until that version is
 *    published. A course decides what rollout n draws from that version and from earlier rollouts alone. No number
 *    depends on how fast a stage is. At `maxStaleness` 0 the run equals test/sequential.ts, bit for bit.
 * 2. The optimizer's step n stores rollout n, takes what the buffer allows, trains, publishes version n + 1. Rollouts
 *    arrive in order, so it never sees a later one.
 * 3. Batches keep their order everywhere. The sampler works on one batch at a time, or on a course's evaluation. The
 *    judge works on up to two, so that the next batch uses the places that the last pairs of the first leave free;
 *    together they never have more than `judge.concurrency` pairs under way.
 * 4. Everything is pulled and every queue is bounded: sampling is at most `maxStaleness + 1` rollouts ahead of the last
 *    trained one. Step n + 1 is not trained before the consumer of report n asks for more, so the optimizer's state may
 *    be saved between two reports. A trained step is always kept, whatever interrupts the run: no state exists
 *    that nobody reported.
 * 5. The first error ends the stream. It interrupts all work under way and waits until that work has released what it
 *    holds.
 */
import { Effect, Semaphore, Stream } from "effect"
import type { Prompt } from "./domain.ts"
import { Judge, type JudgeStopped } from "./stages/Judge.ts"
import type { Optimizer, OptimizerFailed } from "./stages/Optimizer.ts"
import type { Policy, VersionGone } from "./stages/Policy.ts"
import type { BufferFailed, PreferenceBuffer } from "./stages/PreferenceBuffer.ts"
import type { Renderer, RendererUnavailable } from "./stages/Renderer.ts"
import type { Sampler, SamplerFailed } from "./stages/Sampler.ts"
import { batchesOf, type Course } from "./steps/batches.ts"
import type { PipelineConfig } from "./steps/config.ts"
import { gather, noBatches } from "./steps/gather.ts"
import { judgeBatch } from "./steps/judge.ts"
import { makeReport, type StepOutcome } from "./steps/metrics.ts"
import { optimize } from "./steps/optimize.ts"
import { renderBatch } from "./steps/render.ts"
import { sampleBatch } from "./steps/sample.ts"
import { type Guard, unguarded } from "./steps/step-back.ts"
import { teach } from "./steps/teach.ts"

export type { Course, Drawn } from "./steps/batches.ts"
export { defaultPipeline, type PipelineConfig } from "./steps/config.ts"
export type { StepOutcome } from "./steps/metrics.ts"

/** What ends a run. Everything smaller is counted, stored and shown. */
export type PipelineError =
  | SamplerFailed
  | RendererUnavailable
  | JudgeStopped
  | BufferFailed
  | OptimizerFailed
  | VersionGone

/** The boxes of the map. */
export type Stages = Sampler | Renderer | Judge | PreferenceBuffer | Optimizer | Policy

/** Batches waiting between two boxes; when full, the box before pauses. */
const capacity = 2

/**
 * The run: one outcome a step, in order, each after its policy version was published.
 *
 * @param prompts the same ones all along, or a course, which decides for each rollout
 * @param keep runs on each outcome before the stream hands it out
 * @param guard what happens where the run runs away; without one, only a loss that is not finite ends it
 */
export const train = <E = never, R = never>(
  config: PipelineConfig,
  prompts: ReadonlyArray<Prompt> | Course,
  keep: (outcome: StepOutcome) => Effect.Effect<void, E, R> = () => Effect.void,
  guard: Guard = unguarded
): Stream.Stream<StepOutcome, PipelineError | E, Stages | R> =>
  Stream.unwrap(Effect.gen(function*() {
    const places = yield* Semaphore.make((yield* Judge).concurrency)
    const report = yield* makeReport(config)
    return batchesOf(config, prompts).pipe(
      Stream.mapEffect(sampleBatch(config)),
      Stream.buffer({ capacity }),
      Stream.mapEffect(renderBatch(config)),
      Stream.buffer({ capacity }),
      Stream.mapEffect(judgeBatch(config, Semaphore.withPermit(places)), { concurrency: 2 }),
      Stream.mapAccum(noBatches, gather), // the batches of one step, put together
      Stream.map(teach(config)), // verdicts become lessons: here a label is born
      Stream.buffer({ capacity }),
      Stream.mapEffect((rollout) => Effect.uninterruptible(Effect.tap(report(optimize(rollout, guard)), keep)))
    )
  }))
