/** Which judge a name stands for: its layer, the size in which it sees best, and what it may cost. */
import { NodeTerminal } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import type { AnswersFailed } from "../../layers/guide/answers-failed.ts"
import { costOf } from "../../layers/guide/prices.ts"
import * as judgeCascade from "../../layers/judge/cascade.ts"
import * as judgeCoin from "../../layers/judge/coin.ts"
import * as judgeHuman from "../../layers/judge/human.ts"
import type { OnnxError, OnnxRuntime } from "../../layers/onnx/runtime.ts"
import type { CheckpointInvalid } from "../model/model-folder.ts"
import type { SettingName, TrainConfig } from "./settings.ts"
import type { FileProblem } from "../system/files.ts"
import type { ModelKind } from "../model/hub/model-kind.ts"
import { resolveModel } from "../model/hub/resolve-model.ts"
import type { ProgressStyle } from "../system/progress.ts"
import type { Judge, JudgeStopped } from "../stages/Judge.ts"
import { BadInput } from "../system/errors.ts"
import { type Estimate, type GuidedSettings, guidedJudges, guidedLayer, type Work } from "./guided-judges.ts"
import { answersLayer, askedModel } from "./guides.ts"
import { scorerJudges } from "./scorer-judges.ts"
import { settingFlags } from "./setting-flags.ts"

/** All that a judge's name needs besides. */
const judgeSettings = [
  "judge",
  "judge_model",
  "judge_references",
  "judge_orders",
  "judge_timeout",
  "judge_batch",
  "judge_cache",
  "guide",
  "judge_format",
  "human_on",
  "human_port",
  "judge_input_price",
  "judge_output_price",
  "judge_free",
  "checklist_file",
  "cascade_confidence",
  "budget_usd",
  "tie_margin",
  "render_size",
  "seed"
] as const satisfies ReadonlyArray<SettingName>

/** Of the subcommands that ask a judge outside a run. */
export const judgeFlags = settingFlags(judgeSettings)

export type JudgeSettings = Pick<TrainConfig, typeof judgeSettings[number]>

type JudgeLayer = Layer.Layer<
  Judge,
  CheckpointInvalid | FileProblem | OnnxError | AnswersFailed | JudgeStopped,
  OnnxRuntime
>

interface Named {
  /** What --judge-model is a checkpoint of, where it is not a name. */
  readonly kind?: (settings: JudgeSettings) => ModelKind | undefined
  readonly layer: (settings: JudgeSettings) => Effect.Effect<JudgeLayer, BadInput>
  /** Pixels of a side. */
  readonly size: (settings: JudgeSettings) => Effect.Effect<number, CheckpointInvalid>
  /** Of a judge that is paid: what it asks at most, and of which guide model. */
  readonly asks?: (settings: JudgeSettings, work: Work) => Estimate & { readonly of: GuidedSettings }
}

/** A guide model can read more than CLIP was trained on. */
const forGuide = () => Effect.succeed(448)

/** @param own the settings of its guide model, where they are not the run's */
const guided = (judge: typeof guidedJudges[keyof typeof guidedJudges], own: (settings: JudgeSettings) => JudgeSettings): Named => ({
  layer: (settings) => guidedLayer(judge, own(settings)),
  size: forGuide,
  asks: (settings, work) => ({ ...judge.estimate(settings, work), of: own(settings) })
})

/** A judge with the name of a guide model asks that one. */
const guideNamed = (name: string) => (settings: JudgeSettings): JudgeSettings =>
  name === "claude" || name === "openai" ? { ...settings, guide: name } : settings

/** In a cascade --judge-model is clip's, where the guide model has a default. */
const dear = (settings: JudgeSettings): JudgeSettings =>
  settings.guide === "claude" ? { ...settings, judge_model: "" } : settings
const cheap = (settings: JudgeSettings): JudgeSettings =>
  settings.guide === "openai" ? { ...settings, judge_model: "" } : settings
const pairsOf = ({ guide }: JudgeSettings) => guidedJudges[guide]

const human = Effect.fnUntraced(function*(settings: JudgeSettings) {
  const answers = yield* answersLayer(settings, "human")
  if (settings.human_on === "page") {
    const announce = (url: string) => Effect.sync(() => void process.stderr.write(`Which drawing is better? Say it here: ${url}\n`))
    return judgeHuman.layerPage({ port: settings.human_port, announce }).pipe(Layer.provide(answers))
  }
  return process.stdin.isTTY && process.stdout.isTTY
    ? judgeHuman.layerTerminal().pipe(Layer.provide([answers, NodeTerminal.layer]))
    : yield* new BadInput({ message: "There is no terminal to judge on here: leave out --human-on terminal, and a page is served." })
})

const judges: Readonly<Record<string, Named>> = {
  ...scorerJudges,
  ...Object.fromEntries(Object.entries(guidedJudges).map(([name, judge]) => [name, guided(judge, guideNamed(name))])),
  cascade: {
    layer: Effect.fnUntraced(function*(settings) {
      const first = yield* scorerJudges.clip.layer(cheap(settings))
      const then = yield* guidedLayer(pairsOf(settings), dear(settings))
      return judgeCascade.layer(first, then, { confidence: settings.cascade_confidence })
    }),
    kind: ({ guide }) => (guide === "claude" ? scorerJudges.clip.kind() : undefined),
    size: forGuide,
    asks: (settings, work) => ({ ...pairsOf(settings).estimate(settings, work), of: dear(settings) })
  },
  human: { layer: human, size: forGuide },
  coin: { layer: ({ seed }) => Effect.succeed(judgeCoin.layer(seed)), size: () => Effect.succeed(64) }
}

const named = ({ judge }: JudgeSettings): Effect.Effect<Named, BadInput> =>
  Object.hasOwn(judges, judge)
    ? Effect.succeed(judges[judge]!)
    : Effect.fail(new BadInput({ message: `There is no judge "${judge}": --judge is one of ${Object.keys(judges).join(", ")}.` }))

/**
 * The judge that the settings name, and the size that they say, or in which it sees best, pixels of a side. What is
 * missing or unknown is said before anything is fetched or built.
 */
export const openJudge = Effect.fn("openJudge")(function*(settings: JudgeSettings, style: ProgressStyle) {
  const judge = yield* named(settings)
  yield* judge.layer(settings)
  const kind = judge.kind?.(settings)
  const own = kind === undefined || settings.judge_model === ""
    ? settings
    : { ...settings, judge_model: (yield* resolveModel(settings.judge_model, kind, { style })).folder }
  return {
    layer: yield* judge.layer(own),
    size: settings.render_size > 0 ? settings.render_size : yield* judge.size(own)
  }
})

/** What a run may come to, for people, before anything is spent; undefined where the judge is free. @param work at most */
export const forecast = Effect.fnUntraced(function*(settings: JudgeSettings, work: Work) {
  const { asks } = yield* named(settings)
  if (asks === undefined) return undefined
  const { calls, of, use } = asks(settings, work)
  const { model, price } = yield* askedModel(of)
  if (price.input === 0 && price.output === 0) return undefined
  const dollars = calls * costOf(price, use.inputTokens, use.outputTokens) / 1e9
  return `${model} may be asked ${calls} times for up to ${work.pairs} pairs: about $${dollars.toFixed(2)}, ` +
    `of which at most $${settings.budget_usd} will be spent (--budget-usd).`
})
