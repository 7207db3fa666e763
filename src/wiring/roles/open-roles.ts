/** What the commands open that draw and criticise outside a run: policy, sampler, critic, judge and renderer. */
import { Effect, Layer } from "effect"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { Device } from "../../../layers/onnx/session.ts"
import * as samplerOnnx from "../../../layers/sampler/onnx.ts"
import type { Prompt } from "../../domain.ts"
import { plain } from "../../engine/sampling/sampling.ts"
import { parameterCount } from "../../engine/training/memory.ts"
import { noAdapter } from "../../engine/weights/parameters.ts"
import { openAdapter } from "../../model/adapter.ts"
import { openWeights, weightsHash } from "../../model/model-folder.ts"
import type { PromptFormat } from "../../model/tokenizer/tokenizer.ts"
import type { PolicySnapshot } from "../../stages/Policy.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import type { JudgeSettings } from "../judges/judge-row.ts"
import { openJudging } from "../judges/judging.ts"
import { forecast } from "../judges/open-judge.ts"
import { openPolicy } from "../policy.ts"
import { quantizedCache, tellQuantizing } from "../quantized-cache.ts"
import { criticForecast, type CriticName, openCritic } from "./critics.ts"

interface DrawingOptions {
  readonly model: string
  readonly revision: string
  readonly adapter: string | undefined
  readonly maxNewTokens: number
  readonly format: PromptFormat
  readonly device: Device | "auto"
  readonly threads: number
  readonly style: ProgressStyle
}

/** Tokens of a question besides the drawing in it: the prompt, and what is said of the drawing. */
const said = 1024
/** Drawings decoded together. */
const together = 64

/** The policy, and a sampler for questions as long as a drawing and what is said of it. */
const openDrawing = Effect.fn("openDrawing")(function*({ adapter: folder, device, format, maxNewTokens, model, revision, style, threads }: DrawingOptions) {
  const opened = yield* openPolicy(model, revision, style)
  const { checkpoint, tokenizer } = opened
  const adapter = folder === undefined ? undefined : yield* openAdapter(folder, checkpoint)
  const hashes = [
    weightsHash(yield* openWeights(opened.folder)),
    ...folder === undefined ? [] : [weightsHash(yield* openWeights(folder, "adapter_model.safetensors")), adapter!.lora]
  ]
  const sampler = samplerOnnx.layer({
    checkpoint,
    tokenizer,
    format,
    lora: adapter?.lora ?? noAdapter,
    sampling: plain,
    maxNewTokens,
    maxLength: Math.min(checkpoint.config.maxPositions, 2 * maxNewTokens + said),
    stop: "</svg>",
    stopMalformed: false,
    maxNumSeqs: together,
    precision: "auto",
    cache: yield* quantizedCache,
    quantizing: (total) => tellQuantizing(style, total)
  }).pipe(Layer.provide(OnnxRuntime.layer(device, parameterCount(checkpoint.config), { threads, overlap: true })))
  const policy: PolicySnapshot = { version: 0, parameters: adapter?.parameters ?? new Map() }
  return { sampler, policy, facts: { hashes, format, maxNewTokens } }
})

export interface RolesOptions extends DrawingOptions {
  readonly critic: CriticName
  /** The critic's CLIP folder or guide model; empty for the usual one. */
  readonly criticModel: string
  readonly settings: JudgeSettings
  readonly prompts: ReadonlyArray<Prompt>
  /** The most that critic and judge may be asked about, a prompt. */
  readonly most: { readonly criticised: number; readonly drawings: number; readonly pairs: number }
}

/** Says what critic and judge may cost, before anything is spent. */
const tellCosts = Effect.fnUntraced(function*({ critic, criticModel, most, prompts: { length }, settings, style }: RolesOptions) {
  const costs = [
    yield* criticForecast({ name: critic, model: criticModel, settings }, most.criticised * length),
    yield* forecast(settings, { prompts: length, k: most.drawings, pairs: most.pairs * length })
  ]
  if (style !== "none") for (const cost of costs) if (cost !== undefined) process.stderr.write(`${cost}\n`)
})

/**
 * Fails with what is missing before anything is built. `facts`: all that drawings depend on besides seeds and temperatures.
 * `measuring`: what renders and scores drawings once they are made.
 */
export const openRoles = Effect.fn("openRoles")(function*(options: RolesOptions) {
  const { critic: name, criticModel, prompts, settings, ...drawing } = options
  const { facts, policy, sampler } = yield* openDrawing(drawing)
  const { promptTemplate } = drawing.format
  const critic = (yield* openCritic({ name, model: criticModel, settings, policy, promptTemplate, prompts })).pipe(Layer.provide(sampler))
  const { stages: judging } = yield* openJudging(settings, drawing.style)
  yield* tellCosts(options)
  const runtime = OnnxRuntime.layer("cpu", 0, { threads: drawing.threads, overlap: false })
  return {
    facts,
    policy,
    stages: Layer.mergeAll(sampler, critic, judging).pipe(Layer.provide(runtime)),
    measuring: Layer.mergeAll(judging, runtime)
  }
})
