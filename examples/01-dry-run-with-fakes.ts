/**
 * The whole pipeline without a model, a network or native code: circles that learn to be as big as the judge likes.
 *
 *     node examples/01-dry-run-with-fakes.ts
 */
import { Console, Effect, Layer, Stream } from "effect"
import { defaultPipeline, type Drawing, Policy, Prompt, train } from "vequinox"
import * as BufferMemory from "vequinox/layers/buffer/memory"
import * as JudgeFake from "vequinox/layers/judge/fake"
import * as OptimizerFake from "vequinox/layers/optimizer/fake"
import * as RendererCircles from "vequinox/layers/renderer/circles"
import * as SamplerFake from "vequinox/layers/sampler/fake"

const prompts = ["a plum", "a moon", "a coin", "a wheel", "a button", "a pancake"]
  .map((text) => new Prompt({ id: text, text }))

const config = { ...defaultPipeline, steps: 12, promptsPerStep: 6, promptsPerBatch: 3, maxStaleness: 1 }

const initial = SamplerFake.initialPolicy(0.2)
const stages = Layer.mergeAll(
  SamplerFake.layer(),
  RendererCircles.layer(),
  JudgeFake.layer({ target: 0.4 }),
  BufferMemory.layer({ maxStaleness: config.maxStaleness, staleWeight: 1 }),
  OptimizerFake.layer({ initial, rate: 1 }),
  Policy.layer(initial, config.maxStaleness + 1)
)

/** How far the drawings are, on average, from the 40 % of ink that the judge likes: 0 is what it wants. */
const distance = (drawings: ReadonlyArray<Drawing>) => {
  const inks = drawings.flatMap(({ rendering }) => rendering._tag === "Rendered" ? [JudgeFake.ink(rendering.picture)] : [])
  return inks.reduce((total, ink) => total + Math.abs(ink - 0.4), 0) / inks.length
}

export const main = train(config, prompts).pipe(
  Stream.runForEach(({ metrics, rollout, step }) =>
    Console.log(
      `step ${String(step).padStart(2)}  from version ${rollout.policyVersion}`,
      ` pairs ${metrics["pairs/trained"]}  invalid drawings ${metrics["svg/rejected/no-svg"]}`,
      ` distance from what the judge likes ${distance(rollout.drawings).toFixed(3)}`
    )
  ),
  Effect.provide(stages)
)

if (import.meta.main) await Effect.runPromise(main)
