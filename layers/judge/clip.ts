/**
 * Judge: any CLIP checkpoint (Hugging Face `CLIPModel` folder). A drawing's score is exp(logit_scale) * cos(text,
 * picture), the model's own logit; scores.ts says what becomes of two of them. Other models' judges are rows of scorers.ts.
 */
import * as scorers from "./scorers.ts"

export interface JudgeClipOptions {
  /** Checkpoint folder. */
  readonly model: string
  /** Scores closer than this are a tie; >= 0, in the model's logits. Default 0.5. */
  readonly tieMargin?: number
  /** What the judge is called in verdicts and config.json. Default `clip`. */
  readonly name?: string
}

/** Fails while it is built with `CheckpointInvalid` when the folder holds no usable CLIP. */
export const layer = (options: JudgeClipOptions) => scorers.layer("clip", options)

/** The same scores without verdicts, for a held-out comparison. */
export const scorer = (name: string, { model }: Pick<JudgeClipOptions, "model">) => scorers.scorer("clip", name, model)
