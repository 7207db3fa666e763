/**
 * Judge: ImageReward (Xu et al. 2023, arXiv:2304.05977; `ImageReward.pt` and `med_config.json` of THUDM/ImageReward with
 * bert-base-uncased's tokenizer.json), a BLIP that reads prompt and picture together. A drawing's score is the model's
 * reward, standard normal over the authors' data; it was trained with σ of the difference of two (eq. 1), up to their
 * normalisation by 1.03.
 */
import { Effect, Layer } from "effect"
import { openImageReward } from "../../src/scorers/image-reward.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { judgeOf, pairScores, scorerOf, shortHash } from "./scores.ts"

export interface ImageRewardOptions {
  /** Checkpoint folder, or its .pt file. */
  readonly model: string
  /** Width of an attention head of the vision tower. Default 64, which is what is published. */
  readonly headWidth?: number
}

export interface JudgeImageRewardOptions extends ImageRewardOptions {
  /** Scores closer than this are a tie; >= 0. Default 0. */
  readonly tieMargin?: number
  /** What the judge is called in verdicts and config.json. Default `imagereward`. */
  readonly name?: string
}

const scores = Effect.fnUntraced(function*({ headWidth, model }: ImageRewardOptions) {
  const opened = yield* openImageReward(model, headWidth)
  return { checkpoint: opened.checkpoint, score: yield* pairScores(opened) }
})

/** Fails while it is built with `CheckpointInvalid` when the folder holds no usable ImageReward. */
export const layer = ({ name = "imagereward", tieMargin = 0, ...options }: JudgeImageRewardOptions) =>
  Layer.effect(
    Judge,
    Effect.map(scores(options), ({ checkpoint, score }) =>
      judgeOf(score, { name, tieMargin, identity: `imagereward-1 weights=${shortHash(checkpoint)} tieMargin=${tieMargin}` }))
  )

/** The same scores without verdicts, for a held-out comparison. */
export const scorer = (name: string, options: ImageRewardOptions) =>
  Effect.map(scores(options), ({ score }) => scorerOf(name, score))
