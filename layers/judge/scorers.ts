/**
 * Judges that use the scores of one published model, one row for each model. The row says what a score is; scores.ts
 * makes a verdict from two of them. The model's file in src/scorers describes its folder.
 */
import { Effect } from "effect"
import type { Heads } from "../../src/engine/nets/open-clip.ts"
import type { CheckpointInvalid } from "../../src/model/model-folder.ts"
import { type ModelKind, safetensors } from "../../src/model/hub/model-kind.ts"
import { clipConfig, openClip } from "../../src/scorers/clip.ts"
import type { PairScorer, TextScorer } from "../../src/scorers/family.ts"
import type { ScorerCheckpoint } from "../../src/scorers/graphs.ts"
import { hpsFiles, openHps } from "../../src/scorers/hps.ts"
import { imageRewardFiles, openImageReward } from "../../src/scorers/image-reward.ts"
import { openSiglip, siglipConfig } from "../../src/scorers/siglip.ts"
import { heldOut, scoreJudge } from "./scores.ts"

export interface ScoringModel {
  /** Fails with `CheckpointInvalid` if the folder, or the file in it, is not of this model. */
  readonly open: (model: string) => Effect.Effect<TextScorer<ScorerCheckpoint> | PairScorer<ScorerCheckpoint>, CheckpointInvalid>
  /** The files of its checkpoint. */
  readonly files: ModelKind
  /** Scores closer than this are a tie, unless another margin is given; >= 0. */
  readonly tieMargin: number
}

const configs = ["config.json", "preprocessor_config.json"]
const tokenizers = ["tokenizer.json", "tokenizer_config.json"]
const clipFiles = {
  check: clipConfig,
  required: ["config.json", "tokenizer.json"],
  others: [...configs, ...tokenizers],
  weights: safetensors
}
/** What to do for weights that are published without all files needed beside them. */
const download = (what: string): string => `download ${what} and give the folder`

export const models = {
  /** Any `CLIPModel`: exp(logit_scale) * cos(text, picture), the model's own logit. */
  clip: {
    open: openClip,
    tieMargin: 0.5,
    files: { ...clipFiles, instead: "give openai/clip-vit-base-patch32, say, or a folder" }
  },
  /** SigLIP and SigLIP 2: exp(logit_scale) * cos(text, picture) + logit_bias. The bias cancels between two drawings. */
  siglip: {
    open: openSiglip,
    tieMargin: 0.5,
    files: {
      check: siglipConfig,
      required: ["config.json", ...tokenizers],
      others: configs,
      weights: safetensors,
      instead: "give google/siglip2-base-patch16-384, say, or a folder"
    }
  },
  /**
   * PickScore (Kirstain et al. 2023, arXiv:2305.01569), a CLIP trained on people's choices between two pictures. It
   * says how likely people are to prefer one: p(A) = softmax of exp(logit_scale) * cos(text, picture), for two pictures
   * σ(score A - score B). So the confidence 2 σ - 1 is 2 p - 1 of the winner. The paper calls it a tie if |p(A) - 1/2|
   * is below a threshold; here every difference counts.
   */
  pickscore: {
    open: openClip,
    tieMargin: 0,
    files: {
      ...clipFiles,
      instead: download("yuvalkirstain/PickScore_v1, beside it tokenizer.json and tokenizer_config.json of laion/CLIP-ViT-H-14-laion2B-s32B-b79K,")
    }
  },
  /** HPSv2 and HPSv2.1 (Wu et al. 2023, arXiv:2306.09341): 100 cos(text, picture), the unit of the authors' tables and their logit. */
  hps: {
    open: (model: string, heads?: Heads) => Effect.map(openHps(model, heads), ({ score, ...rest }) => ({
      ...rest,
      score: (text: Float32Array, picture: Float32Array) => 100 * score(text, picture)
    })),
    tieMargin: 0,
    files: {
      required: ["tokenizer.json"],
      others: tokenizers,
      weights: hpsFiles,
      instead: download("HPS_v2.1_compressed.pt of xswu/HPSv2, beside it tokenizer.json of openai/clip-vit-base-patch32,")
    }
  },
  /**
   * ImageReward (Xu et al. 2023, arXiv:2304.05977), a BLIP that reads prompt and picture together. The score is its
   * reward: standard normal over the authors' data, and trained with σ of the difference of two (eq. 1), up to their
   * normalisation by 1.03.
   */
  imagereward: {
    open: openImageReward,
    tieMargin: 0,
    files: {
      required: ["med_config.json", "tokenizer.json"],
      others: tokenizers,
      weights: imageRewardFiles,
      instead: download("ImageReward.pt and med_config.json of THUDM/ImageReward, beside them tokenizer.json of bert-base-uncased,")
    }
  }
} as const satisfies Readonly<Record<string, ScoringModel>>

export type ModelName = keyof typeof models

export interface ScorerJudgeOptions {
  /** Checkpoint folder, or the file if the model is published as one. */
  readonly model: string
  /** Scores closer than this are a tie; >= 0, in the model's logits. Default: the model's row. */
  readonly tieMargin?: number
  /** The judge's name in verdicts and config.json. Default: the model's name. */
  readonly name?: string
}

/** Fails with `CheckpointInvalid` while it is built, if the folder cannot be used. */
export const layer = (of: ModelName, { model, name = of, tieMargin = models[of].tieMargin }: ScorerJudgeOptions) =>
  scoreJudge({ open: models[of].open(model), name, tieMargin, version: `${of}-1` })

/** The same scores without verdicts, for a held-out comparison. */
export const scorer = (of: ModelName, name: string, model: string) => heldOut(name, models[of].open(model))
