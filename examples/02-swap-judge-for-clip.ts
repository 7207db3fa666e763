/**
 * The same pipeline, another judge: swapping a stage is one line, here CLIP instead of the fake.
 *
 *     node examples/02-swap-judge-for-clip.ts
 */
import * as path from "node:path"
import { Console, Effect, Layer } from "effect"
import * as JudgeClip from "../layers/judge/clip.ts"
import { OnnxRuntime } from "../layers/onnx/runtime.ts"
import * as RendererResvg from "../layers/renderer/resvg.ts"
import { random } from "../src/engine/random.ts"
import { promptOf } from "../src/prompts.ts"
import { drawFlawed, drawScene, parseCaption } from "../src/scenes/index.ts"
import { Judge } from "../src/stages/Judge.ts"
import { Renderer } from "../src/stages/Renderer.ts"

const judge = JudgeClip.layer({ model: path.join(import.meta.dirname, "../models/clip") }) // <- the line
const stages = Layer.mergeAll(RendererResvg.layer({ size: 64 }), judge.pipe(Layer.provide(OnnxRuntime.layer("cpu", 0))))

const texts = ["a red pelican riding a blue bicycle", "a cat", "three green stars", "a yellow circle above a black square"]

export const main = Effect.gen(function*() {
  const renderer = yield* Renderer
  const judge = yield* Judge
  for (const [n, text] of texts.entries()) {
    const scene = parseCaption(text)!
    const draw = random(7, n)
    const good = yield* renderer.render(drawScene(scene, draw))
    const { flaw, svg } = drawFlawed(scene, draw, "off-canvas")
    const flawed = yield* renderer.render(svg)
    if (good._tag !== "Rendered" || flawed._tag !== "Rendered") continue
    const { confidence, outcome } = yield* judge.compare(promptOf(text), good.picture, flawed.picture)
    const said = { A: "the good one", B: "the flawed one", tie: "neither", invalid: "neither", failed: "nothing" }[outcome]
    yield* Console.log(`${text}, good against ${flaw}: ${judge.name} prefers ${said}, confidence ${confidence.toFixed(2)}`)
  }
}).pipe(Effect.scoped, Effect.provide(stages))

if (import.meta.main) await Effect.runPromise(main)
