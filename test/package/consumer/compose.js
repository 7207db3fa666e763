// Plain JavaScript of a user: every public entry, and a stream composed of layers that need no model.
import { Effect, Layer, Stream } from "effect"
import { defaultPipeline, embedded, Policy, promptOf, train } from "vequinox"
import * as BufferMemory from "vequinox/layers/buffer/memory"
import * as JudgeClip from "vequinox/layers/judge/clip"
import * as JudgeFake from "vequinox/layers/judge/fake"
import { OnnxRuntime } from "vequinox/layers/onnx/runtime"
import * as OptimizerFake from "vequinox/layers/optimizer/fake"
import * as OptimizerOnnx from "vequinox/layers/optimizer/onnx"
import * as RendererCircles from "vequinox/layers/renderer/circles"
import * as SamplerFake from "vequinox/layers/sampler/fake"
import * as SamplerOnnx from "vequinox/layers/sampler/onnx"
import { openDecoder, openTokenizer, parameterCount } from "vequinox/model"
import { parseCaption } from "vequinox/scenes"

const initial = SamplerFake.initialPolicy()
const stages = Layer.mergeAll(
  SamplerFake.layer(),
  RendererCircles.layer(),
  JudgeFake.layer(),
  BufferMemory.layer({ maxStaleness: 1, staleWeight: 1 }),
  OptimizerFake.layer({ initial }),
  Policy.layer(initial, 2)
)
const steps = await train({ ...defaultPipeline, steps: 3 }, [promptOf("a plum")]).pipe(
  Stream.map(({ step }) => step),
  Stream.runCollect,
  Effect.provide(stages),
  Effect.runPromise
)
const policy = await Effect.runPromise(openDecoder(embedded("policy")))
const { encode } = await Effect.runPromise(openTokenizer(embedded("policy")))
console.log(JSON.stringify({
  steps: [...steps],
  parameters: parameterCount(policy.config),
  tokens: encode("a plum").length,
  scene: parseCaption("a cat") !== undefined,
  layers: [JudgeClip, SamplerOnnx, OptimizerOnnx].every(({ layer }) => typeof layer === "function") && typeof OnnxRuntime.layer === "function"
}))
