/**
 * What the command line knows about a judge: a row of the registry (judges.ts), and the two shapes that most rows have.
 */
import { Effect, Layer } from "effect"
import type { Use } from "../../../layers/guide/allowance.ts"
import type { AnswersFailed } from "../../../layers/guide/answers-failed.ts"
import type { Guide } from "../../../layers/guide/guide.ts"
import { layer as scorerLayer, type ModelName, models } from "../../../layers/judge/scorers.ts"
import type { OnnxError, OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { ModelKind } from "../../model/hub/model-kind.ts"
import { resolveModel } from "../../model/hub/resolve-model.ts"
import type { CheckpointInvalid } from "../../model/model-folder.ts"
import { readPreprocessing } from "../../scorers/preprocessing.ts"
import type { Judge, JudgeStopped } from "../../stages/Judge.ts"
import { BadInput } from "../../system/errors.ts"
import type { FileProblem } from "../../system/files.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { guideLayer } from "./guide-model.ts"
import type { SettingName, TrainConfig } from "../settings.ts"

/** All settings that a judge may need besides its name. */
export const judgeSettings = [
  "judge",
  "judge_model",
  "judge_references",
  "judge_terms",
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
  "checklist_file",
  "cascade_confidence",
  "budget_usd",
  "judge_free",
  "tie_margin",
  "render_size",
  "seed"
] as const satisfies ReadonlyArray<SettingName>

export type JudgeSettings = Pick<TrainConfig, typeof judgeSettings[number]>

export type JudgeLayer = Layer.Layer<
  Judge,
  CheckpointInvalid | FileProblem | OnnxError | AnswersFailed | JudgeStopped,
  OnnxRuntime
>

/** The most that a run may judge. */
export interface Work {
  /** Prompts; a prompt drawn for several times counts each time. */
  readonly prompts: number
  /** Drawings of each. */
  readonly k: number
  readonly pairs: number
}

export interface Estimate {
  /** The most calls. */
  readonly calls: number
  /** Roughly what one call takes: rubric, request and small pictures in, a filled form out. */
  readonly use: Use
}

export interface JudgeRow {
  /** What it decides by, for --help and the table of docs/judges.md: a phrase without a full stop. */
  readonly says: string
  /** The kind of checkpoint that --judge-model names; undefined if it is the name of a model. */
  readonly kind?: (settings: JudgeSettings) => ModelKind | undefined
  /** Whether its verdicts have scores, which `reward: score` learns from. */
  readonly scores?: true
  /** Fails with what is missing before anything is built. */
  readonly layer: (settings: JudgeSettings) => Effect.Effect<JudgeLayer, BadInput>
  /** Pixels of a drawing's side at which it judges best. */
  readonly size: (settings: JudgeSettings) => Effect.Effect<number, CheckpointInvalid | BadInput>
  /** For a paid judge: the most it asks, and the settings of its guide model. */
  readonly asks?: (settings: JudgeSettings, work: Work) => Estimate & { readonly of: JudgeSettings }
}

/** The settings with the folder of the judge's checkpoint, fetched from the Hub if necessary. */
export const fetched = Effect.fnUntraced(function*({ kind: kindOf }: JudgeRow, settings: JudgeSettings, style: ProgressStyle) {
  const kind = kindOf?.(settings)
  return kind === undefined || settings.judge_model === ""
    ? settings
    : { ...settings, judge_model: (yield* resolveModel(settings.judge_model, kind, { style })).folder }
})

export const fixedSize = (pixels: number) => () => Effect.succeed(pixels)

/** The size that a checkpoint resizes pictures to. */
const sizeOf = (folder: string) =>
  Effect.map(readPreprocessing(folder, { size: 224, mean: [0, 0, 0], std: [1, 1, 1] }), ({ resized }) => resized)

export const ownSize = ({ judge_model }: JudgeSettings) => sizeOf(judge_model)
/** @param embedded the checkpoint that is used if none is given */
export const ownSizeOr = (embedded: string) => ({ judge_model }: JudgeSettings) => sizeOf(judge_model === "" ? embedded : judge_model)

/** The checkpoint folder; without one, fails and says what to give. */
export const folderOf = (judge: string, { judge_model }: JudgeSettings, { instead }: ModelKind): Effect.Effect<string, BadInput> =>
  judge_model !== "" ? Effect.succeed(judge_model) : Effect.fail(
    new BadInput({ message: `--judge ${judge} needs its checkpoint: ${instead} as --judge-model.` })
  )

export interface Scored extends Pick<JudgeRow, "says" | "size"> {
  /** Whether --tie-margin replaces the model's own margin. */
  readonly margin?: boolean
  /** The checkpoint to use if none is given. */
  readonly embedded?: string
}

/** A judge that uses a model's scores: a row of layers/judge/scorers.ts. */
export const scored = (name: ModelName, { embedded, margin = false, says, size }: Scored): JudgeRow => {
  const { files } = models[name]
  return {
    says,
    size,
    scores: true,
    kind: () => files,
    layer: (settings) =>
      Effect.map(
        embedded !== undefined && settings.judge_model === "" ? Effect.succeed(embedded) : folderOf(name, settings, files),
        (model) => scorerLayer(name, { model, ...(margin ? { tieMargin: settings.tie_margin } : {}) })
      )
  }
}

export interface Guided extends Pick<JudgeRow, "says" | "scores"> {
  readonly judge: (settings: JudgeSettings) => Effect.Effect<Layer.Layer<Judge, never, Guide>, BadInput>
  readonly estimate: (settings: JudgeSettings, work: Work) => Estimate
  /** The settings of its guide model, if they are not the run's. */
  readonly of?: (settings: JudgeSettings) => JudgeSettings
}

/** A judge that asks a guide model; such a model can read more than CLIP was trained on. */
export const guided = ({ estimate, judge, of = (settings) => settings, ...row }: Guided): JudgeRow & Required<Pick<JudgeRow, "asks">> => ({
  ...row,
  size: fixedSize(448),
  layer: Effect.fnUntraced(function*(settings) {
    return (yield* judge(of(settings))).pipe(Layer.provide(yield* guideLayer(of(settings))))
  }),
  asks: (settings, work) => ({ ...estimate(settings, work), of: of(settings) })
})
