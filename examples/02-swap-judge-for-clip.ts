/**
 * The same pipeline, another judge: swapping a stage is one line, here CLIP instead of the fake.
 *
 *     node examples/02-swap-judge-for-clip.ts
 */
import { Console, Effect, Layer } from "effect"
import { embedded, Judge, promptOf, Renderer } from "vequinox"
import * as JudgeClip from "vequinox/layers/judge/clip"
import { OnnxRuntime } from "vequinox/layers/onnx/runtime"
import * as RendererResvg from "vequinox/layers/renderer/resvg"
import { drawFlawed, drawScene, parseCaption, random } from "vequinox/scenes"

const judge = JudgeClip.layer({ model: embedded("clip") }) // <- the line
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
