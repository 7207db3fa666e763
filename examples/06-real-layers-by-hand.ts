/**
 * Every layer of a real run, wired by hand: the embedded policy draws, resvg renders, the embedded CLIP judges, a LoRA learns.
 * Nothing is stored: what `vequinox train` adds to this stream is the run folder.
 *
 *     node examples/06-real-layers-by-hand.ts
 */
import { Console, Effect, Layer, Stream } from "effect"
import { defaultPipeline, embedded, embeddedPrompts, Policy, train } from "vequinox"
import * as BufferMemory from "vequinox/layers/buffer/memory"
import * as JudgeClip from "vequinox/layers/judge/clip"
import { OnnxRuntime } from "vequinox/layers/onnx/runtime"
import * as OptimizerOnnx from "vequinox/layers/optimizer/onnx"
import * as RendererResvg from "vequinox/layers/renderer/resvg"
import * as SamplerOnnx from "vequinox/layers/sampler/onnx"
import { allLinear, defaultFormat, initialAdapter, type LoraConfig, modulesOf, openDecoder, openTokenizer, parameterCount } from "vequinox/model"

const config = { ...defaultPipeline, steps: 2, promptsPerStep: 2, k: 2 }
const lora: LoraConfig = { r: 8, alpha: 16, targets: allLinear }
const maxLength = 320

export const main = Effect.gen(function*() {
  const checkpoint = yield* openDecoder(embedded("policy"))
  const tokenizer = yield* openTokenizer(embedded("policy"))
  const initial = { version: 0, updates: 0, parameters: initialAdapter(modulesOf(checkpoint.config), lora, config.seed), moments: new Map() }

  const stages = Layer.mergeAll(
    OptimizerOnnx.layer({
      checkpoint,
      lora,
      initial,
      objective: { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0 },
      options: {
        learningRate: 1e-3,
        schedulerType: "constant",
        warmupSteps: 0,
        totalSteps: config.steps,
        maxGradNorm: 1,
        weightDecay: 0,
        adamBeta1: 0.9,
        adamBeta2: 0.999,
        adamEpsilon: 1e-8,
        maxLength,
        tokensPerRun: 1024,
        gradientCheckpointing: false
      }
    }),
    SamplerOnnx.layer({
      checkpoint,
      tokenizer,
      lora,
      format: defaultFormat,
      sampling: { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
      maxNewTokens: 256,
      maxLength,
      stop: "</svg>",
      stopMalformed: false,
      maxNumSeqs: 4,
      precision: "float32",
      cache: "", // only quantized weights are kept
      quantizing: () => Effect.succeed(() => Effect.void)
    }),
    RendererResvg.layer({ size: 64 }),
    JudgeClip.layer({ model: embedded("clip") }),
    BufferMemory.layer({ maxStaleness: config.maxStaleness, staleWeight: 1 }),
    Policy.layer(initial, config.maxStaleness + 1)
  ).pipe(Layer.provide(OnnxRuntime.layer("cpu", parameterCount(checkpoint.config))))

  yield* train(config, embeddedPrompts(0).train).pipe(
    Stream.runForEach(({ metrics, step }) =>
      Console.log(`step ${step}  pairs ${metrics["pairs/trained"]}  loss ${metrics["loss"]?.toFixed(3) ?? "none"}  valid ${metrics["svg/valid"]}`)),
    Effect.provide(stages)
  )
})

if (import.meta.main) await Effect.runPromise(main)
