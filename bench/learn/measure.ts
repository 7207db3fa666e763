/**
 * How often a policy draws held-out prompts right, by temperature, and which temperature is its best on other prompts.
 * Every policy draws the same prompts with the same random numbers.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer } from "effect"
import * as judgeCoin from "../../layers/judge/coin.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import * as samplerOnnx from "../../layers/sampler/onnx.ts"
import type { Prompt } from "../../src/domain.ts"
import { random, shuffled } from "../../src/engine/random.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { parameterCount } from "../../src/engine/training/memory.ts"
import { type LoraConfig, noAdapter } from "../../src/engine/weights/parameters.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { drawAndMeasure, type PromptDrawn } from "../../src/evaluation/drawings.ts"
import { kindOf, sceneScorer } from "../../src/evaluation/scene-check.ts"
import { bestTemperature, gridOf } from "../../src/evaluation/temperature.ts"
import { first, isRight, meanTokens, validity } from "../../src/evaluation/worth.ts"
import { openAdapter } from "../../src/model/adapter.ts"
import { openWeights, readParameters } from "../../src/model/model-folder.ts"
import { embeddedPrompts, promptOf } from "../../src/prompts.ts"
import { caption, sampleScene } from "../../src/scenes/index.ts"
import { makeProgress } from "../../src/system/progress.ts"
import { openPolicy } from "../../src/wiring/policy.ts"
import { quantizedCache, tellQuantizing } from "../../src/wiring/quantized-cache.ts"
import type { TrainConfig } from "../../src/wiring/settings.ts"

export const grid = gridOf([0, 0.3, 0.5, 0.7, 1])

/** Key of everything drawn here: no run's seed, and prompts that no run compares policies on. */
const seed = 0x1ea2

export interface MeasuredOn {
  readonly heldOut: ReadonlyArray<Prompt>
  /** Training prompts, to choose temperatures on. */
  readonly choice: ReadonlyArray<Prompt>
}

export const promptsToMeasure = (heldOut: number, choice: number): MeasuredOn => {
  const texts = new Set<string>()
  for (let n = 0; texts.size < heldOut && n < 50 * heldOut; n++) {
    const draw = random(seed, n)
    texts.add(caption(sampleScene(draw, "heldout"), draw))
  }
  return { heldOut: [...texts].map(promptOf), choice: shuffled(random(seed, 1, 1), embeddedPrompts(0).train).slice(0, choice) }
}

/** One drawing of each held-out prompt. */
export interface AtTemperature {
  readonly temperature: number
  /** A digit a held-out prompt: 1 where it was drawn right. */
  readonly rights: string
  /** Share that renders. */
  readonly valid: number
  /** Mean tokens a drawing. */
  readonly tokens: number
  /** Mean -log p of a drawing under what it was drawn from, nats. */
  readonly nats: number
}

export interface PolicyMeasured {
  /** The one with most training prompts drawn right. */
  readonly best: number
  /** Share of the training prompts drawn right. */
  readonly choice: ReadonlyArray<{ readonly temperature: number; readonly worth: number }>
  readonly heldOut: ReadonlyArray<AtTemperature>
}

const rightsOf = (all: ReadonlyArray<PromptDrawn>): ReadonlyArray<boolean> => all.map((of) => isRight(of.prompt, first(of)) === true)
const meanOf = <A>(all: ReadonlyArray<A>, value: (of: A) => number): number => all.reduce((sum, of) => sum + value(of), 0) / Math.max(1, all.length)

/** A policy's trainable parameters, read from a PEFT folder or from a folder of whole weights. */
export interface Trained {
  readonly lora: LoraConfig | undefined
  readonly parameters: Parameters
}

/** The base itself. */
const untrained: Trained = { lora: noAdapter, parameters: new Map() }

/**
 * Opens a sampler for policies of one shape, and gives what measures one of them by its folder; `undefined` is the base.
 * @param shaped a folder of that shape
 */
export const openMeasure = Effect.fn("openMeasure")(function*(model: string, c: TrainConfig, on: MeasuredOn, shaped: string | undefined) {
  const { checkpoint, tokenizer } = yield* openPolicy(model, "", "none")
  const read = Effect.fnUntraced(function*(folder: string | undefined) {
    if (folder === undefined) return untrained
    return fs.existsSync(path.join(folder, "adapter_config.json"))
      ? yield* openAdapter(folder, checkpoint)
      : { lora: undefined, parameters: readParameters(yield* openWeights(folder)) } satisfies Trained
  })
  const { lora } = yield* read(shaped)
  const atOnce = c.max_num_seqs
  const services = yield* Layer.build(Layer.mergeAll(
    rendererResvg.layer({ size: 64 }),
    judgeCoin.layer(0), // nothing here asks it
    samplerOnnx.layer({
      checkpoint,
      tokenizer,
      format: { systemPrompt: c.system_prompt, promptTemplate: c.prompt_template, prefill: c.prefill },
      lora,
      sampling: plain,
      maxNewTokens: c.max_new_tokens,
      maxLength: c.max_length,
      stop: "</svg>",
      stopMalformed: false,
      maxNumSeqs: atOnce,
      precision: c.sampler_precision,
      cache: yield* quantizedCache,
      quantizing: (total) => tellQuantizing("none", total)
    })
  ).pipe(Layer.provide(OnnxRuntime.layer("cpu", parameterCount(checkpoint.config), { threads: 1, overlap: false }))))

  return Effect.fn("measure")(function*(folder: string | undefined, what: string) {
    const { parameters } = yield* read(folder)
    const progress = yield* makeProgress("plain", "drawing", grid.length * (on.choice.length + on.heldOut.length))
    let done = 0
    const draw = (prompts: ReadonlyArray<Prompt>, temperature: number, step: number) =>
      drawAndMeasure({
        prompts, temperature, step, seed, atOnce, k: 1,
        policy: { version: 0, parameters },
        scorers: [sceneScorer],
        onDrawn: (more) => Effect.suspend(() => progress.tick(done += more, what))
      })
    const choice = yield* Effect.forEach(grid, (temperature) =>
      Effect.map(draw(on.choice, temperature, -2), (all) => ({ temperature, worth: meanOf(rightsOf(all), Number) })))
    const heldOut = yield* Effect.forEach(grid, (temperature) =>
      Effect.map(draw(on.heldOut, temperature, -1), (all): AtTemperature => ({
        temperature,
        rights: rightsOf(all).map(Number).join(""),
        valid: validity(all.map(first)),
        tokens: meanTokens(all.map(first)),
        nats: meanOf(all, (of) => first(of).nats)
      })))
    return { best: bestTemperature(choice), choice, heldOut } satisfies PolicyMeasured as PolicyMeasured
  }, Effect.provide(services))
})

/** What each held-out prompt asks for, in their order. */
export const kindsOf = ({ heldOut }: MeasuredOn) => heldOut.map((prompt) => kindOf(prompt)!)
