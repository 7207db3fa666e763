/**
 * Judge: HPSv2 or HPSv2.1 (Wu et al. 2023, arXiv:2306.09341; `HPS_v2_compressed.pt` or `HPS_v2.1_compressed.pt` of
 * xswu/HPSv2 with CLIP's tokenizer.json). A drawing's score is 100 cos(text, picture): the unit of the authors' tables, and
 * the logit of the two pictures' softmax that the model was trained with.
 */
import { Effect } from "effect"
import type { Heads } from "../../src/engine/nets/open-clip.ts"
import { openHps } from "../../src/scorers/hps.ts"
import { heldOut, textJudge } from "./scores.ts"

export interface HpsOptions {
  /** Checkpoint folder, or its .pt file. */
  readonly model: string
  /** Attention heads of the towers. Default: ViT-H-14's, which is what is published. */
  readonly heads?: Heads
}

export interface JudgeHpsOptions extends HpsOptions {
  /** Scores closer than this are a tie; >= 0. Default 0. */
  readonly tieMargin?: number
  /** What the judge is called in verdicts and config.json. Default `hps`. */
  readonly name?: string
}

const open = ({ heads }: HpsOptions) => (model: string) =>
  Effect.map(openHps(model, heads), ({ score, ...rest }) => ({
    ...rest,
    score: (text: Float32Array, picture: Float32Array) => 100 * score(text, picture)
  }))

/** Fails while it is built with `CheckpointInvalid` when the folder holds no usable HPSv2. */
export const layer = ({ name = "hps", tieMargin = 0, ...options }: JudgeHpsOptions) =>
  textJudge({ model: options.model, name, tieMargin, version: "hps-1", open: open(options) })

/** The same scores without verdicts, for a held-out comparison. */
export const scorer = (name: string, options: HpsOptions) => heldOut(name, { model: options.model, open: open(options) })
