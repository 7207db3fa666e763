/**
 * How far the scores of two equally good drawings lie apart: two drawings of one scene by the grammar's own hand, which no
 * scorer should prefer to one another. The margins of src/evaluation/scene-check.ts and src/wiring/run/held-out-scorers.ts
 * are the 95th percentiles, rounded up.
 */
import { Effect, Layer } from "effect"
import * as judgeClip from "../layers/judge/clip.ts"
import { OnnxRuntime } from "../layers/onnx/runtime.ts"
import * as rendererResvg from "../layers/renderer/resvg.ts"
import { random } from "../src/engine/random.ts"
import { promptOf } from "../src/prompts.ts"
import { caption, drawScene, sampleScene } from "../src/scenes/index.ts"
import { renderFor } from "../src/stages/render-for.ts"
import type { Scorer } from "../src/stages/Scorer.ts"
import { embedded } from "../src/system/installed.ts"
import { heldOutScorers } from "../src/wiring/run/held-out-scorers.ts"

/** Held-out scenes, two drawings of each. */
const scenes = 400

const differences = Effect.fn(function*(scorers: ReadonlyArray<Scorer>) {
  return yield* Effect.forEach(Array.from({ length: scenes }, (_, n) => n), Effect.fnUntraced(function*(n) {
    const draw = random(0x3a96, n)
    const scene = sampleScene(draw, "heldout")
    const prompt = promptOf(caption(scene, draw))
    const [a, b] = [yield* renderFor(prompt, drawScene(scene, draw)), yield* renderFor(prompt, drawScene(scene, draw))]
    if (a._tag !== "Rendered" || b._tag !== "Rendered") return []
    return yield* Effect.forEach(scorers, ({ score }) =>
      Effect.map(Effect.all([score(prompt, a.picture), score(prompt, b.picture)]), ([x, y]) => Math.abs(x! - y!)))
  }), { concurrency: 32 })
})

export const benchMargins = () =>
  Effect.runPromise(Effect.gen(function*() {
    const scorers = [...yield* heldOutScorers, yield* judgeClip.scorer("clip", { model: embedded("clip") })]
    const rows = (yield* differences(scorers)).filter(({ length }) => length > 0)
    return Object.fromEntries(scorers.map(({ margin, name }, n) => {
      const sorted = rows.map((row) => row[n]!).sort((a, b) => a - b)
      const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
      return [name, { pairs: sorted.length, median: at(0.5), p95: at(0.95), margin: margin ?? 0 }]
    }))
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.mergeAll(rendererResvg.layer({ size: 64 }), OnnxRuntime.layer("cpu", 0, { overlap: false })))
  ))
