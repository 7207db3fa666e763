/** What a command needs that asks a judge outside a run: the judge that the settings name, and a renderer of its size. */
import { Effect, Layer } from "effect"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import type { JudgeSettings } from "./judge-row.ts"
import { openJudge } from "./open-judge.ts"

/** `size`: pixels of a drawing's side. What is missing or unknown is said before anything is built. */
export const openJudging = Effect.fnUntraced(function*(settings: JudgeSettings, style: ProgressStyle) {
  const { layer, size } = yield* openJudge(settings, style)
  const judge = layer.pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { overlap: false })))
  return { size, stages: Layer.mergeAll(rendererResvg.layer({ size }), judge) }
})
