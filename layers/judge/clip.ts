/**
 * Judge: any CLIP checkpoint (Hugging Face `CLIPModel` folder). A drawing's score is exp(logit_scale) * cos(text,
 * picture), the model's own logit; scores.ts makes a verdict from two scores. The judges of other models are rows of
 * scorers.ts.
 */
import * as scorers from "./scorers.ts"

export interface JudgeClipOptions {
  /** Checkpoint folder. */
  readonly model: string
  /** Scores closer than this are a tie; >= 0, in the model's logits. Default 0.5. */
  readonly tieMargin?: number
  /** The judge's name in verdicts and config.json. Default `clip`. */
  readonly name?: string
}

/** Fails with `CheckpointInvalid` while it is built, if the folder holds no usable CLIP. */
export const layer = (options: JudgeClipOptions) => scorers.layer("clip", options)

/** The same scores without verdicts, for a held-out comparison. */
export const scorer = (name: string, { model }: Pick<JudgeClipOptions, "model">) => scorers.scorer("clip", name, model)
