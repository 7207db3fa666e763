/**
 * A judge of your own in twenty lines: it prefers more green ink. A judge gets pixels and the prompt, answers A, B or
 * tie, and has to answer the mirrored way when the pictures are swapped.
 *
 *     node examples/03-custom-judge.ts
 */
import { Console, Effect, Layer, Stream } from "effect"
import { defaultPipeline, isPreference, Judge, type Picture, Policy, Prompt, train, Verdict } from "vequinox"
import * as BufferMemory from "vequinox/layers/buffer/memory"
import * as OptimizerFake from "vequinox/layers/optimizer/fake"
import * as RendererCircles from "vequinox/layers/renderer/circles"
import * as SamplerFake from "vequinox/layers/sampler/fake"

/** Share of pixels in which green is well above red and blue. */
const green = ({ height, rgba, width }: Picture) => {
  let n = 0
  for (let p = 0; p < rgba.length; p += 4) if (rgba[p + 1]! > 30 + Math.max(rgba[p]!, rgba[p + 2]!)) n++
  return n / (width * height)
}

export const judgeGreen = Layer.succeed(Judge, {
  name: "green",
  identity: "green-1",
  concurrency: 4,
  compare: (_prompt, a, b) => {
    const [greenA, greenB] = [green(a), green(b)]
    const outcome = greenA > greenB ? "A" : greenB > greenA ? "B" : "tie"
    const confidence = outcome === "tie" ? 0 : Math.abs(greenA - greenB)
    return Effect.succeed(new Verdict({ outcome, confidence, scores: [greenA, greenB], by: "green" }))
  }
})

const prompts = [new Prompt({ id: "leaf", text: "a leaf" }), new Prompt({ id: "lime", text: "a lime" })]
const config = { ...defaultPipeline, steps: 5, promptsPerStep: 2 }
const initial = SamplerFake.initialPolicy()
const stages = Layer.mergeAll(
  SamplerFake.layer(),
  RendererCircles.layer(),
  judgeGreen,
  BufferMemory.layer({ maxStaleness: 1, staleWeight: 1 }),
  OptimizerFake.layer({ initial }),
  Policy.layer(initial, 2)
)

export const main = train(config, prompts).pipe(
  Stream.flatMap(({ rollout }) => Stream.fromIterable(rollout.lessons.filter(isPreference))),
  Stream.filter(({ verdict }) => verdict.by === "green"),
  Stream.runForEach(({ chosen, prompt, rejected, verdict }) =>
    Console.log(`${prompt.text}: ${fill(chosen.svg)} over ${fill(rejected.svg)}, sure to ${verdict.confidence.toFixed(2)}`)),
  Effect.provide(stages)
)

const fill = (svg: string) => /fill="(.*?)"/.exec(svg)?.[1] ?? "nothing"

if (import.meta.main) await Effect.runPromise(main)
