/**
 * Judge: SigLIP or SigLIP 2 (Hugging Face `SiglipModel` folder, as google/siglip2-base-patch16-384). A drawing's score is
 * exp(logit_scale) * cos(text, picture) + logit_bias; the bias cancels in what scores.ts makes of two of them.
 */
import { openSiglip } from "../../src/scorers/siglip.ts"
import { heldOut, textJudge } from "./scores.ts"

export interface JudgeSiglipOptions {
  /** Checkpoint folder. */
  readonly model: string
  /** Scores closer than this are a tie; >= 0, in the model's logits. Default 0.5. */
  readonly tieMargin?: number
  /** What the judge is called in verdicts and config.json. Default `siglip`. */
  readonly name?: string
}

/** Fails while it is built with `CheckpointInvalid` when the folder holds no usable SigLIP. */
export const layer = ({ model, name = "siglip", tieMargin = 0.5 }: JudgeSiglipOptions) =>
  textJudge({ model, name, tieMargin, version: "siglip-1", open: openSiglip })

/** The same scores without verdicts, for a held-out comparison. */
export const scorer = (name: string, { model }: Pick<JudgeSiglipOptions, "model">) => heldOut(name, { model, open: openSiglip })
