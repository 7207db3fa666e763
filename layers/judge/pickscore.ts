/**
 * Judge: PickScore (Kirstain et al. 2023, arXiv:2305.01569; the `CLIPModel` folder yuvalkirstain/PickScore_v1 with the
 * tokenizer of laion/CLIP-ViT-H-14-laion2B-s32B-b79K), a CLIP trained on people's choices between two pictures. It says
 * how likely people are to prefer one:
 *
 *     p(A) = softmax over the candidates of exp(logit_scale) * cos(text, picture)
 *
 * which for two is σ(score A - score B), so the confidence 2 σ - 1 that scores.ts gives is 2 p - 1 of the winner. The paper
 * calls |p(A) - 1/2| below a threshold a tie; here every difference counts unless a margin is asked for.
 */
import { openClip } from "../../src/scorers/clip.ts"
import { heldOut, textJudge } from "./scores.ts"

export interface JudgePickscoreOptions {
  /** Checkpoint folder. */
  readonly model: string
  /** Scores closer than this are a tie; >= 0, in the model's logits. Default 0. */
  readonly tieMargin?: number
  /** What the judge is called in verdicts and config.json. Default `pickscore`. */
  readonly name?: string
}

/** Fails while it is built with `CheckpointInvalid` when the folder holds no usable CLIP. */
export const layer = ({ model, name = "pickscore", tieMargin = 0 }: JudgePickscoreOptions) =>
  textJudge({ model, name, tieMargin, version: "pickscore-1", open: openClip })

/** The same scores without verdicts, for a held-out comparison. */
export const scorer = (name: string, { model }: Pick<JudgePickscoreOptions, "model">) => heldOut(name, { model, open: openClip })
