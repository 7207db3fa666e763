/** Which layer a judge's name stands for, and the scorers that compare before with after. */
import * as path from "node:path"
import { Effect, Layer, type Scope, type Terminal } from "effect"
import { Flag } from "effect/cli"
import type { AnswersFailed } from "../../layers/guide/answers.ts"
import { makePairJudge } from "../../layers/guide/pair-judge.ts"
import { costOf } from "../../layers/guide/prices.ts"
import * as judgeCascade from "../../layers/judge-cascade.ts"
import * as judgeClip from "../../layers/judge-clip.ts"
import * as judgeCoin from "../../layers/judge-coin.ts"
import * as judgeHuman from "../../layers/judge-human.ts"
import type { OnnxError, OnnxRuntime } from "../../layers/onnx-runtime.ts"
import type { CheckpointInvalid } from "../checkpoint.ts"
import { settings, type TrainConfig } from "../config.ts"
import type { Picture } from "../domain.ts"
import type { Scorer } from "../evaluation.ts"
import { resize } from "../numerics/resize.ts"
import { checkScene, parseCaption } from "../scenes/index.ts"
import { Judge, type JudgeStopped } from "../stages/Judge.ts"
import { BadInput, packageRoot } from "./flags.ts"
import { answersLayer, askedModel, guideLayer, type GuideSettings } from "./guides.ts"

export type JudgeSettings = GuideSettings & Pick<TrainConfig, "cascade_confidence" | "human_on" | "human_port" | "judge_orders" | "seed" | "tie_margin">

type JudgeLayer = Layer.Layer<
  Judge,
  CheckpointInvalid | OnnxError | AnswersFailed | JudgeStopped,
  OnnxRuntime | Terminal.Terminal
>

const clip = ({ judge_model, tie_margin }: JudgeSettings) =>
  judgeClip.layer({
    model: judge_model === "" ? path.join(packageRoot, "models", "clip") : judge_model,
    tieMargin: tie_margin
  })

const judges: Readonly<Record<string, (settings: JudgeSettings) => Effect.Effect<JudgeLayer, BadInput>>> = {
  clip: (settings) => Effect.succeed(clip(settings)),
  claude: (settings) => byGuide("claude", guideOf("claude", settings)),
  openai: (settings) => byGuide("openai", guideOf("openai", settings)),
  cascade: (settings) =>
    Effect.map(byGuide(settings.guide, guideOf("cascade", settings)), (dear) =>
      judgeCascade.layer(clip(settings.guide === "openai" ? { ...settings, judge_model: "" } : settings), dear, {
        confidence: settings.cascade_confidence
      })),
  human: (settings) => human(settings),
  coin: ({ seed }) => Effect.succeed(judgeCoin.layer(seed))
}

export const judgeNames = Object.keys(judges)

export const judgeNamed = (name: string, settings: JudgeSettings): Effect.Effect<JudgeLayer, BadInput> => {
  const make = Object.hasOwn(judges, name) ? judges[name] : undefined
  return make === undefined
    ? Effect.fail(new BadInput({ message: `There is no judge "${name}": --judge is one of ${judgeNames.join(", ")}.` }))
    : make(settings)
}

/** The guide model of a judge that asks one. Cascade's --judge-model is clip's, where its guide model has a default. */
const guideOf = (judge: "claude" | "openai" | "cascade", settings: JudgeSettings): JudgeSettings =>
  judge !== "cascade"
    ? { ...settings, guide: judge }
    : settings.guide === "claude"
    ? { ...settings, judge_model: "" }
    : settings

/** Judges that put pairs to the guide model. */
const byGuide = (name: string, settings: JudgeSettings) =>
  Effect.map(guideLayer(settings), (guide) =>
    Layer.effect(Judge, makePairJudge({ name, orders: settings.judge_orders })).pipe(Layer.provide(guide)))

const human = Effect.fnUntraced(function*(settings: JudgeSettings) {
  const answers = yield* answersLayer(settings, "human")
  if (settings.human_on === "page") {
    const announce = (url: string) => Effect.sync(() => void process.stderr.write(`Which drawing is better? Say it here: ${url}\n`))
    return judgeHuman.layerPage({ port: settings.human_port, announce }).pipe(Layer.provide(answers))
  }
  return process.stdin.isTTY && process.stdout.isTTY
    ? judgeHuman.layerTerminal().pipe(Layer.provide(answers))
    : yield* new BadInput({ message: "There is no terminal to judge on here: leave out --human-on terminal, and a page is served." })
})

/** Of the subcommands that ask a judge outside a run. */
export const judgeFlags = {
  judge: Flag.String("judge").pipe(Flag.withDescription(settings.judge[1]), Flag.withDefault("clip")),
  judge_model: Flag.String("judge-model").pipe(Flag.withDescription(settings.judge_model[1]), Flag.withDefault("")),
  guide: Flag.Literals("guide", ["claude", "openai"]).pipe(Flag.withDescription(settings.guide[1]), Flag.withDefault("claude")),
  judge_format: Flag.Literals("judge-format", ["json_schema", "json_object", "plain"]).pipe(
    Flag.withDescription(settings.judge_format[1]),
    Flag.withDefault("json_schema")
  ),
  judge_input_price: Flag.Finite("judge-input-price").pipe(Flag.withDescription(settings.judge_input_price[1]), Flag.withDefault(0)),
  judge_output_price: Flag.Finite("judge-output-price").pipe(Flag.withDescription(settings.judge_output_price[1]), Flag.withDefault(0)),
  judge_cache: Flag.String("judge-cache").pipe(Flag.withDescription(settings.judge_cache[1]), Flag.withDefault("")),
  judge_timeout: Flag.Finite("judge-timeout").pipe(Flag.withDescription(settings.judge_timeout[1]), Flag.withDefault(30)),
  budget_usd: Flag.Finite("budget-usd").pipe(Flag.withDescription(settings.budget_usd[1]), Flag.withDefault(5)),
  human_on: Flag.Literals("human-on", ["page", "terminal"]).pipe(Flag.withDescription(settings.human_on[1]), Flag.withDefault("page")),
  human_port: Flag.Int("human-port").pipe(Flag.withDescription(settings.human_port[1]), Flag.withDefault(0)),
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
export const forecast = Effect.fnUntraced(function*(name: string, settings: JudgeSettings, pairs: number) {
  if (name !== "claude" && name !== "openai" && name !== "cascade") return undefined
  const { model, price } = yield* askedModel(guideOf(name, settings))
  if (price.input === 0 && price.output === 0) return undefined
  const calls = pairs * settings.judge_orders
  // About what one answer takes: rubric, request and two small pictures in, a filled form out.
  const dollars = calls * costOf(price, 1200, 250) / 1e9
  return `${model} may be asked ${calls} times for up to ${pairs} pairs: about $${dollars.toFixed(2)}, ` +
    `of which at most $${settings.budget_usd} will be spent (--budget-usd).`
})

/** Pixels of a side in which the scene check was measured, and the embedded models see. */
const small = 64

const at64 = ({ height, rgba, width }: Picture) => ({
  width: small,
  height: small,
  rgba: width === small && height === small ? rgba : resize(rgba, width, height, small, small, "box")
})

/** Judges that read larger pictures than CLIP does. */
const wantsDetail = new Set(["claude", "openai", "cascade", "human"])

/** The size in which a judge sees best, pixels of a side: what the models here were trained on, or what a guide model can read. */
export const renderSize = (judge: string, { judge_model, render_size }: JudgeSettings & Pick<TrainConfig, "render_size">) =>
  render_size > 0 ? render_size : wantsDetail.has(judge) ? 448 : judge === "clip" && judge_model !== "" ? 224 : small

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
