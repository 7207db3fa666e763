/** Judges by a model's scores, as --judge names them: their layers, and the size in which each sees best. */
import { Effect, type Layer } from "effect"
import * as judgeClip from "../../layers/judge/clip.ts"
import * as judgeDino from "../../layers/judge/dino.ts"
import * as judgeHps from "../../layers/judge/hps.ts"
import * as judgeImageReward from "../../layers/judge/imagereward.ts"
import * as judgePickscore from "../../layers/judge/pickscore.ts"
import * as judgeSiglip from "../../layers/judge/siglip.ts"
import type { OnnxError, OnnxRuntime } from "../../layers/onnx/runtime.ts"
import type { CheckpointInvalid } from "../model/model-folder.ts"
import type { TrainConfig } from "./settings.ts"
import type { FileProblem } from "../system/files.ts"
import { type ModelKind, safetensors } from "../model/hub/model-kind.ts"
import { clipConfig } from "../scorers/clip.ts"
import { dinov2Config } from "../scorers/dinov2.ts"
import { hpsFiles } from "../scorers/hps.ts"
import { imageRewardFiles } from "../scorers/image-reward.ts"
import { readPreprocessing } from "../scorers/preprocessing.ts"
import { siglipConfig } from "../scorers/siglip.ts"
import type { Judge } from "../stages/Judge.ts"
import { BadInput } from "../system/errors.ts"
import { embeddedModel } from "../system/package.ts"

export type ScorerSettings = Pick<TrainConfig, "judge_model" | "judge_references" | "tie_margin">

interface ScorerJudge {
  /** Of its checkpoint. */
  readonly kind: () => ModelKind
  readonly layer: (
    settings: ScorerSettings
  ) => Effect.Effect<Layer.Layer<Judge, CheckpointInvalid | FileProblem | OnnxError, OnnxRuntime>, BadInput>
  /** Pixels of a side. */
  readonly size: (settings: ScorerSettings) => Effect.Effect<number, CheckpointInvalid>
}

/** The checkpoint folder, or what to give where there is none. */
const folderOf = (judge: string, { judge_model }: ScorerSettings, { instead }: ModelKind): Effect.Effect<string, BadInput> =>
  judge_model !== "" ? Effect.succeed(judge_model) : Effect.fail(
    new BadInput({ message: `--judge ${judge} needs its checkpoint: ${instead} as --judge-model.` })
  )

const configs = ["config.json", "preprocessor_config.json"]
const tokenizers = ["tokenizer.json", "tokenizer_config.json"]
/** Of weights that are published without all that is needed beside them. */
const download = (what: string): string => `download ${what} and give the folder`

const kinds = {
  clip: {
    check: clipConfig,
    required: ["config.json", "tokenizer.json"],
    others: [...configs, ...tokenizers],
    weights: safetensors,
    instead: "give openai/clip-vit-base-patch32, say, or a folder"
  },
  siglip: {
    check: siglipConfig,
    required: ["config.json", ...tokenizers],
    others: configs,
    weights: safetensors,
    instead: "give google/siglip2-base-patch16-384, say, or a folder"
  },
  pickscore: {
    check: clipConfig,
    required: ["config.json", "tokenizer.json"],
    others: [...configs, ...tokenizers],
    weights: safetensors,
    instead: download("yuvalkirstain/PickScore_v1, beside it tokenizer.json and tokenizer_config.json of laion/CLIP-ViT-H-14-laion2B-s32B-b79K,")
  },
  hps: {
    required: ["tokenizer.json"],
    others: tokenizers,
    weights: hpsFiles,
    instead: download("HPS_v2.1_compressed.pt of xswu/HPSv2, beside it tokenizer.json of openai/clip-vit-base-patch32,")
  },
  imagereward: {
    required: ["med_config.json", "tokenizer.json"],
    others: tokenizers,
    weights: imageRewardFiles,
    instead: download("ImageReward.pt and med_config.json of THUDM/ImageReward, beside them tokenizer.json of bert-base-uncased,")
  },
  dino: {
    check: dinov2Config,
    required: ["config.json"],
    others: configs,
    weights: safetensors,
    instead: "give facebook/dinov2-small, say, or a folder"
  }
} as const satisfies Readonly<Record<string, ModelKind>>

/** What the checkpoint resizes pictures to, at least 224. */
const ownSize = ({ judge_model }: ScorerSettings) =>
  Effect.map(readPreprocessing(judge_model, { size: 224, mean: [0, 0, 0], std: [1, 1, 1] }), ({ resized }) => Math.max(224, resized))

const clipLayer = ({ judge_model, tie_margin }: ScorerSettings) =>
  judgeClip.layer({
    model: judge_model === "" ? embeddedModel("clip") : judge_model,
    tieMargin: tie_margin
  })

const dinoLayer = Effect.fnUntraced(function*(settings: ScorerSettings) {
  const model = yield* folderOf("dino", settings, kinds.dino)
  if (settings.judge_references === "") {
    return yield* new BadInput({
      message: "--judge dino compares drawings with pictures: name them in a file of lines {\"prompt\": ..., \"image\": ...} and give it as --judge-references."
    })
  }
  return judgeDino.layer({ model, references: settings.judge_references, tieMargin: settings.tie_margin })
})

export const scorerJudges = {
  clip: {
    kind: () => kinds.clip,
    layer: (settings) => Effect.succeed(clipLayer(settings)),
    size: ({ judge_model }) => Effect.succeed(judge_model === "" ? 64 : 224) // the embedded one was trained on 64
  },
  siglip: {
    kind: () => kinds.siglip,
    layer: (settings) =>
      Effect.map(folderOf("siglip", settings, kinds.siglip), (model) => judgeSiglip.layer({ model, tieMargin: settings.tie_margin })),
    size: ownSize
  },
  pickscore: {
    kind: () => kinds.pickscore,
    layer: (settings) =>
      Effect.map(folderOf("pickscore", settings, kinds.pickscore), (model) => judgePickscore.layer({ model })),
    size: ownSize
  },
  hps: {
    kind: () => kinds.hps,
    layer: (settings) =>
      Effect.map(folderOf("hps", settings, kinds.hps), (model) => judgeHps.layer({ model })),
    size: () => Effect.succeed(224)
  },
  imagereward: {
    kind: () => kinds.imagereward,
    layer: (settings) =>
      Effect.map(folderOf("imagereward", settings, kinds.imagereward), (model) => judgeImageReward.layer({ model })),
    size: () => Effect.succeed(224)
  },
  dino: { kind: () => kinds.dino, layer: dinoLayer, size: ownSize }
} as const satisfies Readonly<Record<string, ScorerJudge>>
