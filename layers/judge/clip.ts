/**
 * Judge: any CLIP checkpoint (Hugging Face `CLIPModel` folder). A drawing's score is exp(logit_scale) * cos(text,
 * picture), the model's own logit; scores.ts says what becomes of two of them.
 */
import { openClip } from "../../src/scorers/clip.ts"
import { heldOut, textJudge } from "./scores.ts"

export interface ClipOptions {
  /** Checkpoint folder. */
  readonly model: string
}

export interface JudgeClipOptions extends ClipOptions {
  /** Scores closer than this are a tie; >= 0, in the model's logits. Default 0.5. */
  readonly tieMargin?: number
  /** What the judge is called in verdicts and config.json. Default `clip`. */
  readonly name?: string
}

/** Fails while it is built with `CheckpointInvalid` when the folder holds no usable CLIP. */
export const layer = ({ model, name = "clip", tieMargin = 0.5 }: JudgeClipOptions) =>
  textJudge({ model, name, tieMargin, version: "clip-1", open: openClip })

/** The same scores without verdicts, for a held-out comparison. */
export const scorer = (name: string, { model }: ClipOptions) => heldOut(name, { model, open: openClip })
