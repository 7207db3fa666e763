// TypeScript of a user: a judge of their own beside the real layers, every public entry, and every type inferred.
import { Effect, Layer, Stream } from "effect"
import { defaultPipeline, embedded, Judge, Policy, promptOf, type Stages, train, Verdict } from "vequinox"
import * as BufferSqlite from "vequinox/layers/buffer/sqlite"
import * as JudgeClaude from "vequinox/layers/judge/claude"
import * as JudgeClip from "vequinox/layers/judge/clip"
import { OnnxRuntime } from "vequinox/layers/onnx/runtime"
import * as OptimizerOnnx from "vequinox/layers/optimizer/onnx"
import * as RendererResvg from "vequinox/layers/renderer/resvg"
import * as SamplerOnnx from "vequinox/layers/sampler/onnx"
import { type DecoderCheckpoint, type LoraConfig, openDecoder } from "vequinox/model"
import { parseCaption, type Scene } from "vequinox/scenes"

export const mine: Layer.Layer<Judge> = Layer.succeed(Judge, {
  name: "mine",
  identity: "mine-1",
  concurrency: 1,
  compare: (_prompt, a, b) =>
    Effect.succeed(new Verdict({ outcome: a.rgba.length > b.rgba.length ? "A" : "tie", confidence: 1, by: "mine" }))
})

export const clip = JudgeClip.layer({ model: embedded("clip") }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0)))
export const others = [BufferSqlite, JudgeClaude, OptimizerOnnx, RendererResvg, SamplerOnnx]
export const checkpoint: Effect.Effect<DecoderCheckpoint, unknown> = openDecoder(embedded("policy"))
export const lora: LoraConfig = { r: 8, alpha: 16, targets: ["q_proj"] }
export const scene: Scene | undefined = parseCaption("a cat")
export const policy = Policy.layer({ version: 0, parameters: new Map() }, 2)

/** A stream's number of steps, whatever its stages. */
export const losses = (stages: Layer.Layer<Stages>) =>
  train({ ...defaultPipeline, steps: 2 }, [promptOf("a plum")]).pipe(
    Stream.map(({ metrics }) => metrics["loss"] ?? 0),
    Stream.runFold((): number => 0, (total, loss) => total + loss),
    Effect.provide(stages),
    Effect.runPromise
  )

// @ts-expect-error A judge needs an identity: the declarations are read, not taken for `any`.
export const wrong = Layer.succeed(Judge, { name: "wrong", concurrency: 1, compare: () => Effect.never })
