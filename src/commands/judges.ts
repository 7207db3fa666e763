/** Which layer a judge's name stands for, and the scorers that compare before with after. */
import * as os from "node:os"
import * as path from "node:path"
import { Config, type Config as ConfigType, Effect, Layer, Option, type Scope } from "effect"
import { Flag } from "effect/cli"
import { Answers, type AnswersFailed } from "../../layers/guide/answers.ts"
import { batchPrice, costOf, type Price, prices } from "../../layers/guide/prices.ts"
import * as judgeCascade from "../../layers/judge-cascade.ts"
import * as judgeClaude from "../../layers/judge-claude.ts"
import * as judgeClip from "../../layers/judge-clip.ts"
import * as judgeCoin from "../../layers/judge-coin.ts"
import type { OnnxError, OnnxRuntime } from "../../layers/onnx-runtime.ts"
import type { CheckpointInvalid } from "../checkpoint.ts"
import { settings, type TrainConfig } from "../config.ts"
import type { Picture } from "../domain.ts"
import type { Scorer } from "../evaluation.ts"
import { resize } from "../numerics/resize.ts"
import { checkScene, parseCaption } from "../scenes/index.ts"
import type { Judge } from "../stages/Judge.ts"
import { BadInput, packageRoot } from "./flags.ts"

export type JudgeSettings = Pick<
  TrainConfig,
  | "budget_usd"
  | "cascade_confidence"
  | "judge_batch"
  | "judge_cache"
  | "judge_input_price"
  | "judge_model"
  | "judge_orders"
  | "judge_output_price"
  | "judge_timeout"
  | "seed"
  | "tie_margin"
>

type JudgeLayer = Layer.Layer<Judge, CheckpointInvalid | OnnxError | AnswersFailed, OnnxRuntime>

const clip = ({ judge_model, tie_margin }: JudgeSettings) =>
  judgeClip.layer({
    model: judge_model === "" ? path.join(packageRoot, "models", "clip") : judge_model,
    tieMargin: tie_margin
  })

const judges: Readonly<Record<string, (settings: JudgeSettings) => Effect.Effect<JudgeLayer, BadInput>>> = {
  clip: (settings) => Effect.succeed(clip(settings)),
  claude: (settings) => claude(settings),
  cascade: (settings) =>
    Effect.map(claude({ ...settings, judge_model: "" }), (dear) =>
      judgeCascade.layer(clip(settings), dear, { confidence: settings.cascade_confidence })),
  coin: ({ seed }) => Effect.succeed(judgeCoin.layer(seed))
}

export const judgeNames = Object.keys(judges)

export const judgeNamed = (name: string, settings: JudgeSettings): Effect.Effect<JudgeLayer, BadInput> => {
  const make = Object.hasOwn(judges, name) ? judges[name] : undefined
  return make === undefined
    ? Effect.fail(new BadInput({ message: `There is no judge "${name}": --judge is one of ${judgeNames.join(", ")}.` }))
    : make(settings)
}

const claudeModel = ({ judge_model }: JudgeSettings): string => judge_model === "" ? "claude-haiku-4-5" : judge_model

const priceOf = (settings: JudgeSettings): Price | undefined => {
  const listed = prices[claudeModel(settings)]
  const known = listed && settings.judge_batch ? batchPrice(listed) : listed
  const [input, output] = [settings.judge_input_price || known?.input, settings.judge_output_price || known?.output]
  return input === undefined || output === undefined ? undefined : { input, output }
}

const cacheFolder = Config.String("XDG_CACHE_HOME").pipe(Config.withDefault(path.join(os.homedir(), ".cache")))

const claude = Effect.fnUntraced(
  function*(settings: JudgeSettings) {
    const price = priceOf(settings)
    const model = claudeModel(settings)
    if (price === undefined) {
      return yield* new BadInput({
        message: `The price of ${model} is not known here: give --judge-input-price and --judge-output-price, in USD per million tokens.`
      })
    }
    const apiKey = Option.getOrUndefined(yield* Config.option(Config.Redacted("ANTHROPIC_API_KEY")))
    if (apiKey === undefined) {
      return yield* new BadInput({ message: "--judge claude needs a key: set ANTHROPIC_API_KEY in the environment." })
    }
    const baseUrl = Option.getOrUndefined(yield* Config.option(Config.String("ANTHROPIC_BASE_URL")))
    const file = settings.judge_cache === ""
      ? path.join(yield* cacheFolder, "vequinox", "claude-answers.db")
      : settings.judge_cache
    return judgeClaude.layer({
      apiKey,
      baseUrl,
      model,
      price,
      orders: settings.judge_orders,
      budgetUsd: settings.budget_usd,
      deadline: settings.judge_timeout,
      batch: settings.judge_batch
    }).pipe(Layer.provide(Answers.layer(file)))
  },
  Effect.catchTag("ConfigError", (error: ConfigType.ConfigError) => Effect.fail(new BadInput({ message: error.message })))
)

/** Of the subcommands that ask a judge outside a run. */
export const judgeFlags = {
  judge: Flag.String("judge").pipe(Flag.withDescription(settings.judge[1]), Flag.withDefault("clip")),
  judge_model: Flag.String("judge-model").pipe(Flag.withDescription(settings.judge_model[1]), Flag.withDefault("")),
  judge_cache: Flag.String("judge-cache").pipe(Flag.withDescription(settings.judge_cache[1]), Flag.withDefault("")),
  judge_batch: Flag.Boolean("judge-batch").pipe(Flag.withDescription(settings.judge_batch[1]), Flag.withDefault(false)),
  judge_timeout: Flag.Finite("judge-timeout").pipe(Flag.withDescription(settings.judge_timeout[1]), Flag.withDefault(30)),
  budget_usd: Flag.Finite("budget-usd").pipe(Flag.withDescription(settings.budget_usd[1]), Flag.withDefault(5)),
  cascade_confidence: Flag.Finite("cascade-confidence").pipe(
    Flag.withDescription(settings.cascade_confidence[1]),
    Flag.withDefault(0.9)
  ),
  tie_margin: Flag.Finite("tie-margin").pipe(Flag.withDescription(settings.tie_margin[1]), Flag.withDefault(1)),
  judge_orders: Flag.Literals("judge-orders", ["1", "2"]).pipe(
    Flag.withDescription(settings.judge_orders[1]),
    Flag.withDefault("2"),
    Flag.map((text): 1 | 2 => (text === "1" ? 1 : 2))
  ),
  render_size: Flag.Int("render-size").pipe(Flag.withDescription(settings.render_size[1]), Flag.withDefault(0))
}

/** What a run may come to, for people, before anything is spent; undefined where the judge is free. @param pairs at most */
export const forecast = (name: string, settings: JudgeSettings, pairs: number): string | undefined => {
  const paid = name === "claude" ? settings : name === "cascade" ? { ...settings, judge_model: "" } : undefined
  const price = paid && priceOf(paid)
  if (paid === undefined || price === undefined) return undefined
  const calls = pairs * settings.judge_orders
  // About what one answer takes: rubric, request and two small pictures in, a filled form out.
  const dollars = calls * costOf(price, 1200, 250) / 1e9
  return `${claudeModel(paid)} may be asked ${calls} times for up to ${pairs} pairs: about $${dollars.toFixed(2)}, ` +
    `of which at most $${settings.budget_usd} will be spent (--budget-usd).`
}

/** Pixels of a side in which the scene check was measured, and the embedded models see. */
const small = 64

const at64 = ({ height, rgba, width }: Picture) => ({
  width: small,
  height: small,
  rgba: width === small && height === small ? rgba : resize(rgba, width, height, small, small, "box")
})

/** The size in which a judge sees best, pixels of a side: what the models here were trained on, or what Claude can read. */
export const renderSize = (judge: string, { judge_model, render_size }: JudgeSettings & Pick<TrainConfig, "render_size">) =>
  render_size > 0 ? render_size : judge === "claude" || judge === "cascade" ? 448 : judge === "clip" && judge_model !== "" ? 224 : small

/** The grammar's own check of colours, counts and relations, on the pixels; it knows only the grammar's prompts. */
export const sceneScorer: Scorer = {
  name: "scene check",
  score: (prompt, picture) =>
    Effect.sync(() => {
      const scene = parseCaption(prompt.text)
      return scene === undefined ? undefined : checkScene(scene, at64(picture)).score
    })
}

/** None of these trains: the scene check, and a CLIP of another seed and shape than the judge's. */
export const heldOutScorers: Effect.Effect<
  ReadonlyArray<Scorer>,
  CheckpointInvalid | OnnxError,
  OnnxRuntime | Scope.Scope
> = Effect.map(
  judgeClip.scorer("held-out CLIP", { model: path.join(packageRoot, "models", "clip-heldout") }),
  (clip) => [sceneScorer, clip]
)
