/** Draws the same prompts with several policies, each at several temperatures, and says how they stand. */
import * as path from "node:path"
import { Clock, Effect, Layer, Ref } from "effect"
import * as judgeClip from "../../../layers/judge/clip.ts"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { Device } from "../../../layers/onnx/session.ts"
import * as samplerOnnx from "../../../layers/sampler/onnx.ts"
import type { Prompt } from "../../domain.ts"
import { plain } from "../../engine/sampling/sampling.ts"
import { parameterCount } from "../../engine/training/memory.ts"
import { cell } from "../../evaluation/cells.ts"
import { drawAndMeasure, type PromptDrawn } from "../../evaluation/drawings.ts"
import { type Asked, type PolicyDrawings, standings } from "../../evaluation/standing.ts"
import { bestTemperature, choicesOf } from "../../evaluation/temperature.ts"
import { yardstickFor } from "../../evaluation/worth.ts"
import { openWeights, weightsHash } from "../../model/model-folder.ts"
import type { PromptFormat } from "../../model/tokenizer/tokenizer.ts"
import { Judge } from "../../stages/Judge.ts"
import type { Scorer } from "../../stages/Scorer.ts"
import { embedded, version } from "../../system/installed.ts"
import { makeProgress, type ProgressStyle } from "../../system/progress.ts"
import type { JudgeSettings } from "../judges/judge-row.ts"
import { openJudging } from "../judges/judging.ts"
import { heldOutScorers } from "../run/held-out-scorers.ts"
import { quantizedCache, tellQuantizing } from "../quantized-cache.ts"
import type { Compared } from "./policies.ts"

export interface ComparisonOptions {
  readonly policies: ReadonlyArray<Compared>
  readonly asked: ReadonlyArray<Asked>
  /** Other prompts, to choose temperatures on; not read where there is one temperature. */
  readonly choice: ReadonlyArray<Prompt>
  /** Ascending. Temperature 1 is drawn beside the best one in any case. */
  readonly temperatures: ReadonlyArray<number>
  /** Drawings a prompt at the best temperature over 0. */
  readonly k: number
  readonly seed: number
  readonly scorers: ReadonlyArray<Scorer>
  /** What tells the scorers apart from others of the same names. */
  readonly scorersIdentity: string
  /** Pixels of a drawing's side. */
  readonly size: number
  readonly format: PromptFormat
  readonly maxNewTokens: number
  readonly device: Device | "auto"
  readonly threads: number
  /** Folder of what was drawn. */
  readonly cells: string
  readonly style: ProgressStyle
}

/** No training step has these numbers: no drawing here shares its random numbers with one that was trained on. */
const [askedStep, choiceStep] = [-1, -2]
const choiceDrawings = 4
const atOnce = 128

/** Needs a renderer and the judge that chooses the best of K; one that costs money or time is not asked. */
export const compare = Effect.fn("compare")(function*(o: ComparisonOptions) {
  const judge = yield* Judge
  const champions = judge.free === true && o.k > 1
  const prompts = o.asked.map(({ prompt }) => prompt)
  const yardstick = yardstickFor(prompts, o.scorers)
  const chooses = o.temperatures.length > 1
  const ofChoice = o.temperatures.reduce((sum, t) => sum + o.choice.length * (t === 0 ? 1 : choiceDrawings), 0)
  // At most: a policy that is best at 1 draws less.
  const total = o.policies.length * ((chooses ? ofChoice : 0) + prompts.length * (o.k + 2))
  const progress = yield* makeProgress(o.style, "drawing", total)
  const done = yield* Ref.make(0)

  const ofPolicy = Effect.fnUntraced(function*({ lora, name, opened: { checkpoint, tokenizer }, parameters, sha256 }: Compared) {
    const maxLength = Math.min(checkpoint.config.maxPositions, o.maxNewTokens + 256)
    // Opened by the first call that draws; it ends with the policy.
    const sampler = yield* Effect.cached(Layer.build(samplerOnnx.layer({
      checkpoint,
      tokenizer,
      format: o.format,
      lora,
      sampling: plain,
      maxNewTokens: o.maxNewTokens,
      maxLength,
      stop: "</svg>",
      stopMalformed: false,
      maxNumSeqs: atOnce,
      precision: "auto",
      cache: yield* quantizedCache,
      quantizing: (of) => tellQuantizing(o.style, of)
    }).pipe(Layer.provide(OnnxRuntime.layer(o.device, parameterCount(checkpoint.config), { threads: o.threads, overlap: true })))))
    /** One call's drawings, from its file if it has one. */
    const draw = (what: "choice" | "asked", of: ReadonlyArray<Prompt>, temperature: number, k: number, chosen: boolean) => {
      const { format, k: _, maxNewTokens, scorersIdentity, seed, size } = o
      const facts = {
        version, policy: sha256, prompts: of.map(({ text }) => text), temperature, k, seed, what, format, maxNewTokens, size, scorersIdentity,
        scorers: o.scorers.map(({ name }) => name), judge: chosen ? judge.identity : null
      }
      const tick = (more: number) => Effect.flatMap(Ref.updateAndGet(done, (n) => n + more), (now) => progress.tick(now, `${name}, temperature ${temperature}`))
      const make = Effect.gen(function*() {
        const services = yield* sampler
        const started = yield* Clock.currentTimeMillis
        const drawn = yield* drawAndMeasure({
          prompts: of,
          policy: { version: 0, parameters },
          temperature,
          k,
          seed,
          step: what === "asked" ? askedStep : choiceStep,
          scorers: what === "asked" ? o.scorers : yardstick.scorer === undefined ? [] : [yardstick.scorer],
          champions: chosen,
          atOnce,
          onDrawn: tick
        }).pipe(Effect.provide(services))
        return { drawn, seconds: ((yield* Clock.currentTimeMillis) - started) / 1000 }
      })
      return cell(o.cells, `${name}-${what}-${temperature}`, facts, make)
    }
    const choice = new Map<number, ReadonlyArray<PromptDrawn>>()
    if (chooses) for (const t of o.temperatures) choice.set(t, (yield* draw("choice", o.choice, t, t === 0 ? 1 : choiceDrawings, false)).drawn)
    const choices = choicesOf(yardstick, choice)
    const best = chooses ? bestTemperature(choices) : o.temperatures[0]!
    const sampled = choices.filter(({ temperature }) => temperature > 0)
    const several = o.k < 2 ? undefined : sampled.length > 0 ? bestTemperature(sampled) : best > 0 ? best : 1
    const drawn = new Map<number, ReadonlyArray<PromptDrawn>>()
    let seconds = 0
    for (const temperature of new Set([best, ...several === undefined ? [] : [several], 1])) {
      const k = temperature === several ? o.k : 1
      const made = yield* draw("asked", prompts, temperature, k, champions && k > 1)
      drawn.set(temperature, made.drawn)
      if (temperature === best) seconds = made.seconds / Math.max(1, prompts.length * k)
    }
    return { name, choice, best, several, drawn, seconds } satisfies PolicyDrawings as PolicyDrawings
  }, Effect.scoped)

  const drawn = yield* Effect.forEach(o.policies, ofPolicy)
  yield* progress.end
  return {
    drawn,
    judge: champions ? judge.name : null,
    yardstick,
    standings: standings(o.asked, drawn, yardstick, o.scorers, o.seed)
  }
})

export interface JudgedComparison extends Omit<ComparisonOptions, "scorers" | "scorersIdentity" | "size" | "seed"> {
  readonly settings: JudgeSettings
  /** Folder of a CLIP that scores too, and first where prompts have no right and wrong. */
  readonly clip: string | undefined
}

/** `compare` with the scorers that train nothing, and the judge that the settings name. */
export const compareJudged = Effect.fnUntraced(function*({ clip, settings, ...o }: JudgedComparison) {
  const { size, stages } = yield* openJudging(settings, o.style)
  return yield* Effect.gen(function*() {
    const [scene, ...others] = yield* heldOutScorers
    const own = clip === undefined ? [] : [yield* judgeClip.scorer(`clip ${path.basename(path.resolve(clip))}`, { model: clip })]
    const identity = yield* Effect.forEach([embedded("clip-heldout"), ...clip === undefined ? [] : [clip]], (folder) => Effect.map(openWeights(folder), weightsHash))
    return yield* compare({ ...o, size, seed: settings.seed, scorers: [scene!, ...own, ...others], scorersIdentity: identity.join(" ") })
  }).pipe(Effect.provide(Layer.mergeAll(stages, OnnxRuntime.layer("cpu", 0, { threads: o.threads, overlap: false }))), Effect.scoped)
})

export type Comparison = Effect.Success<ReturnType<typeof compare>>
