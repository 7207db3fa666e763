/**
 * HPSv2 and HPSv2.1 (Wu et al. 2023, arXiv:2306.09341): open_clip's ViT-H-14, tuned on human choices. A score is
 * cos(text, picture), without the logit scale, as in the authors' img_score.py.
 *
 * The folder holds `HPS_v2_compressed.pt` or `HPS_v2.1_compressed.pt` (from xswu/HPSv2) and CLIP's tokenizer.json.
 * Pictures are resized as floats (`toUnroundedPixels`), as img_score.py does with torchvision 0.17 or later. For
 * pictures that are not square it pads; we do not. Its tokenizer also repairs broken Unicode (ftfy) and unescapes HTML;
 * ours does not.
 */
import { Effect } from "effect"
import { CheckpointInvalid } from "../model/model-folder.ts"
import { asClip, type Heads, openClipConfig } from "../engine/nets/open-clip.ts"
import { padTo } from "../engine/weights/tensor.ts"
import { openTorch } from "../model/torch/torch-file.ts"
import { dot, endWith, type TextScorer } from "./family.ts"
import type { HpsCheckpoint, Tokens } from "./graphs.ts"
import { clipColours } from "./preprocessing.ts"
import { findCheckpoint, findTokenizer, makesModel } from "./torch-folder.ts"

/** As published; the better one first. */
export const hpsFiles = ["HPS_v2.1_compressed.pt", "HPS_v2_compressed.pt"]

/** open_clip's ViT-H-14: 80 wide in the vision tower, 64 in the text tower. */
const vitH14: Heads = { vision: 16, text: 16 }

/**
 * Fails with `CheckpointInvalid` if a file is missing or broken, or is not of this model.
 *
 * @param path the folder, or its .pt file if it has both
 */
export const openHps = Effect.fn("openHps")(function*(path: string, heads: Heads = vitH14) {
  const { file, folder } = yield* findCheckpoint(path, hpsFiles, "xswu/HPSv2")
  const given = yield* openTorch(file, "state_dict")
  const { config, index } = yield* makesModel(file, () => {
    const config = openClipConfig(given.index, heads)
    return { config, index: asClip(given.index, config) }
  })
  const { imageSize } = config.vision
  const { eosTokenId, maxPositions } = config.text
  const tokenizer = yield* findTokenizer(folder, "openai/clip-vit-base-patch32 or laion/CLIP-ViT-H-14-laion2B-s32B-b79K")
  if (tokenizer.encode("").ids.at(-1) !== eosTokenId) {
    return yield* new CheckpointInvalid({
      message: `${folder}: tokenizer.json does not end texts with token ${eosTokenId}, as HPSv2 reads them: take CLIP's, of openai/clip-vit-base-patch32.`
    })
  }
  const tokenize = (text: string): Tokens => {
    const ids = endWith(tokenizer.encode(text).ids, eosTokenId, maxPositions)
    return { ids: padTo(ids, maxPositions), length: ids.indexOf(eosTokenId) + 1 }
  }
  const checkpoint: HpsCheckpoint = {
    folder: given.folder,
    index,
    family: "hps",
    config,
    preprocessing: { resized: imageSize, side: imageSize, filter: "bicubic", unrounded: true, factor: 1 / 255, ...clipColours },
    textLength: maxPositions
  }
  return { checkpoint, tokenize, score: dot } satisfies TextScorer<HpsCheckpoint> as TextScorer<HpsCheckpoint>
})
