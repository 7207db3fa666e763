/** Which layer a judge's name stands for, and the scorers that compare before with after. */
import * as path from "node:path"
import { Effect, Layer, type Scope } from "effect"
import { Flag } from "effect/cli"
import type { AnswersFailed } from "../../layers/guide/answers.ts"
import { makePairJudge } from "../../layers/guide/pair-judge.ts"
import { costOf } from "../../layers/guide/prices.ts"
import * as judgeCascade from "../../layers/judge-cascade.ts"
import * as judgeClip from "../../layers/judge-clip.ts"
import * as judgeCoin from "../../layers/judge-coin.ts"
import * as judgeDino from "../../layers/judge-dino.ts"
import * as judgeHps from "../../layers/judge-hps.ts"
import * as judgeImageReward from "../../layers/judge-imagereward.ts"
import * as judgePickscore from "../../layers/judge-pickscore.ts"
import * as judgeSiglip from "../../layers/judge-siglip.ts"
import type { OnnxError, OnnxRuntime } from "../../layers/onnx-runtime.ts"
import type { CheckpointInvalid } from "../checkpoint.ts"
import { settings, type TrainConfig } from "../config.ts"
import type { Picture } from "../domain.ts"
import type { Scorer } from "../evaluation.ts"
import type { FileProblem } from "../files.ts"
import { resize } from "../numerics/resize.ts"
import { checkScene, parseCaption } from "../scenes/index.ts"
import { readPreprocessing } from "../scorers/preprocessing.ts"
import { Judge } from "../stages/Judge.ts"
import { BadInput, packageRoot } from "./flags.ts"
import { guideLayer, guideModel, guidePrice, type GuideSettings } from "./guides.ts"

export type JudgeSettings =
  & GuideSettings
  & Pick<TrainConfig, "cascade_confidence" | "judge_orders" | "judge_references" | "seed" | "tie_margin">

type JudgeLayer = Layer.Layer<Judge, CheckpointInvalid | FileProblem | OnnxError | AnswersFailed, OnnxRuntime>

const clip = ({ judge_model, tie_margin }: JudgeSettings) =>
  judgeClip.layer({
    model: judge_model === "" ? path.join(packageRoot, "models", "clip") : judge_model,
    tieMargin: tie_margin
  })

const judges: Readonly<Record<string, (settings: JudgeSettings) => Effect.Effect<JudgeLayer, BadInput>>> = {
  clip: (settings) => Effect.succeed(clip(settings)),
  claude: (settings) => byGuide("claude", settings),
  cascade: (settings) =>
    Effect.map(byGuide("claude", { ...settings, judge_model: "" }), (dear) =>
      judgeCascade.layer(clip(settings), dear, { confidence: settings.cascade_confidence })),
  siglip: ({ judge_model, tie_margin }) =>
    Effect.map(folderOf("siglip", judge_model), (model) => judgeSiglip.layer({ model, tieMargin: tie_margin })),
  hps: ({ judge_model }) => Effect.map(folderOf("hps", judge_model), (model) => judgeHps.layer({ model })),
  imagereward: ({ judge_model }) =>
    Effect.map(folderOf("imagereward", judge_model), (model) => judgeImageReward.layer({ model })),
  pickscore: ({ judge_model }) =>
    Effect.map(folderOf("pickscore", judge_model), (model) => judgePickscore.layer({ model })),
  dino: Effect.fnUntraced(function*({ judge_model, judge_references, tie_margin }) {
    const model = yield* folderOf("dino", judge_model)
    if (judge_references === "") {
      return yield* new BadInput({
        message: "--judge dino compares drawings with pictures: name them in a file of lines {\"prompt\": ..., \"image\": ...} and give it as --judge-references."
      })
    }
    return judgeDino.layer({ model, references: judge_references, tieMargin: tie_margin })
  }),
  coin: ({ seed }) => Effect.succeed(judgeCoin.layer(seed))
}

/** Judges that need a checkpoint from elsewhere, each with one that is published. */
const published = {
  siglip: "google/siglip2-base-patch16-384",
  pickscore: "yuvalkirstain/PickScore_v1, beside it tokenizer.json and tokenizer_config.json of laion/CLIP-ViT-H-14-laion2B-s32B-b79K,",
  hps: "HPS_v2.1_compressed.pt of xswu/HPSv2, beside it tokenizer.json of openai/clip-vit-base-patch32,",
  imagereward: "ImageReward.pt and med_config.json of THUDM/ImageReward, beside them tokenizer.json of bert-base-uncased,",
  dino: "facebook/dinov2-small"
} as const

const folderOf = (judge: keyof typeof published, model: string): Effect.Effect<string, BadInput> =>
  model !== "" ? Effect.succeed(model) : Effect.fail(
    new BadInput({ message: `--judge ${judge} needs its checkpoint: download ${published[judge]} and give the folder as --judge-model.` })
  )

export const judgeNames = Object.keys(judges)

export const judgeNamed = (name: string, settings: JudgeSettings): Effect.Effect<JudgeLayer, BadInput> => {
  const make = Object.hasOwn(judges, name) ? judges[name] : undefined
  return make === undefined
    ? Effect.fail(new BadInput({ message: `There is no judge "${name}": --judge is one of ${judgeNames.join(", ")}.` }))
    : make(settings)
}

/** Judges that put pairs to the guide model. */
const byGuide = (name: string, settings: JudgeSettings) =>
  Effect.map(guideLayer(settings), (guide) =>
    Layer.effect(Judge, makePairJudge({ name, orders: settings.judge_orders })).pipe(Layer.provide(guide)))

/** Of the subcommands that ask a judge outside a run. */
export const judgeFlags = {
  judge: Flag.String("judge").pipe(Flag.withDescription(settings.judge[1]), Flag.withDefault("clip")),
  judge_model: Flag.String("judge-model").pipe(Flag.withDescription(settings.judge_model[1]), Flag.withDefault("")),
  judge_references: Flag.String("judge-references").pipe(
    Flag.withDescription(settings.judge_references[1]),
    Flag.withDefault("")
  ),
  judge_cache: Flag.String("judge-cache").pipe(Flag.withDescription(settings.judge_cache[1]), Flag.withDefault("")),
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
  const price = paid && guidePrice(paid)
  if (paid === undefined || price === undefined) return undefined
  const calls = pairs * settings.judge_orders
  // About what one answer takes: rubric, request and two small pictures in, a filled form out.
  const dollars = calls * costOf(price, 1200, 250) / 1e9
  return `${guideModel(paid)} may be asked ${calls} times for up to ${pairs} pairs: about $${dollars.toFixed(2)}, ` +
    `of which at most $${settings.budget_usd} will be spent (--budget-usd).`
}

/** Pixels of a side in which the scene check was measured, and the embedded models see. */
const small = 64

const at64 = ({ height, rgba, width }: Picture) => ({
  width: small,
  height: small,
  rgba: width === small && height === small ? rgba : resize(rgba, width, height, small, small, "box")
})

/**
 * The size in which a judge sees best, pixels of a side: what the models here were trained on, what Claude can read, or what
 * a checkpoint resizes pictures to, at least 224.
 */
export const renderSize = Effect.fnUntraced(
  function*(judge: string, { judge_model, render_size }: JudgeSettings & Pick<TrainConfig, "render_size">) {
    if (render_size > 0) return render_size
    if (judge === "claude" || judge === "cascade") return 448
    if (judge === "clip") return judge_model === "" ? small : 224
    if (judge === "hps" || judge === "imagereward") return 224
    if (!Object.hasOwn(published, judge)) return small
    const { resized } = yield* readPreprocessing(judge_model, { size: 224, mean: [0, 0, 0], std: [1, 1, 1] })
    return Math.max(224, resized)
  }
)

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
