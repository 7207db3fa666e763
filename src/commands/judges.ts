/** Which judge a name stands for: its layer, the size in which it sees best, and what it may cost. */
import { Effect, Layer } from "effect"
import type { AnswersFailed } from "../../layers/guide/answers.ts"
import { costOf } from "../../layers/guide/prices.ts"
import * as judgeCascade from "../../layers/judge-cascade.ts"
import * as judgeCoin from "../../layers/judge-coin.ts"
import type { OnnxError, OnnxRuntime } from "../../layers/onnx-runtime.ts"
import type { CheckpointInvalid } from "../checkpoint.ts"
import type { SettingName, TrainConfig } from "../config.ts"
import type { FileProblem } from "../files.ts"
import type { Judge } from "../stages/Judge.ts"
import { BadInput } from "./flags.ts"
import { type Estimate, type GuidedSettings, guidedJudges, guidedLayer, type Work } from "./guided-judges.ts"
import { guideModel, guidePrice } from "./guides.ts"
import { scorerJudges } from "./scorer-judges.ts"
import { settingFlags } from "./setting-flags.ts"

/** All that a judge's name needs besides. */
const judgeSettings = [
  "judge",
  "judge_model",
  "judge_references",
  "judge_orders",
  "judge_timeout",
  "judge_cache",
  "judge_input_price",
  "judge_output_price",
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

type JudgeLayer = Layer.Layer<Judge, CheckpointInvalid | FileProblem | OnnxError | AnswersFailed, OnnxRuntime>

interface Named {
  readonly layer: (settings: JudgeSettings) => Effect.Effect<JudgeLayer, BadInput>
  /** Pixels of a side. */
  readonly size: (settings: JudgeSettings) => Effect.Effect<number, CheckpointInvalid>
  /** Of a judge that is paid: what it asks at most, and of which guide model. */
  readonly asks?: (settings: JudgeSettings, work: Work) => Estimate & { readonly of: GuidedSettings }
}

/** A guide model can read more than CLIP was trained on. */
const forGuide = () => Effect.succeed(448)

const guided = (judge: typeof guidedJudges[keyof typeof guidedJudges]): Named => ({
  layer: (settings) => guidedLayer(judge, settings),
  size: forGuide,
  asks: (settings, work) => ({ ...judge.estimate(settings, work), of: settings })
})

/** In a cascade --judge-model is clip's. */
const dear = (settings: JudgeSettings): JudgeSettings => ({ ...settings, judge_model: "" })

const judges: Readonly<Record<string, Named>> = {
  ...scorerJudges,
  ...Object.fromEntries(Object.entries(guidedJudges).map(([name, judge]) => [name, guided(judge)])),
  cascade: {
    layer: Effect.fnUntraced(function*(settings) {
      const [cheap, then] = [yield* scorerJudges.clip.layer(settings), yield* guidedLayer(guidedJudges.claude, dear(settings))]
      return judgeCascade.layer(cheap, then, { confidence: settings.cascade_confidence })
    }),
    size: forGuide,
    asks: (settings, work) => ({ ...guidedJudges.claude.estimate(settings, work), of: dear(settings) })
  },
  coin: { layer: ({ seed }) => Effect.succeed(judgeCoin.layer(seed)), size: () => Effect.succeed(64) }
}

const named = ({ judge }: JudgeSettings): Effect.Effect<Named, BadInput> =>
  Object.hasOwn(judges, judge)
    ? Effect.succeed(judges[judge]!)
    : Effect.fail(new BadInput({ message: `There is no judge "${judge}": --judge is one of ${Object.keys(judges).join(", ")}.` }))

/** The judge that the settings name. What is missing or unknown is said before anything is built. */
export const judgeLayer = (settings: JudgeSettings) => Effect.flatMap(named(settings), ({ layer }) => layer(settings))

/** The size that the settings say, or in which their judge sees best, pixels of a side. */
export const renderSize = (settings: JudgeSettings) =>
  settings.render_size > 0 ? Effect.succeed(settings.render_size) : Effect.flatMap(named(settings), ({ size }) => size(settings))

/** What a run may come to, for people, before anything is spent; undefined where the judge is free. @param work at most */
export const forecast = Effect.fnUntraced(function*(settings: JudgeSettings, work: Work) {
  const { asks } = yield* named(settings)
  if (asks === undefined) return undefined
  const { calls, of, use } = asks(settings, work)
  const price = guidePrice(of)
  if (price === undefined) return undefined
  const dollars = calls * costOf(price, use.inputTokens, use.outputTokens) / 1e9
  return `${guideModel(of)} may be asked ${calls} times for up to ${work.pairs} pairs: about $${dollars.toFixed(2)}, ` +
    `of which at most $${settings.budget_usd} will be spent (--budget-usd).`
})
