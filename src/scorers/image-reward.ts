/**
 * ImageReward (Xu et al. 2023, arXiv:2304.05977): a BLIP that reads prompt and picture together and gives one number,
 * about standard normal over the authors' validation set.
 *
 * The folder holds `ImageReward.pt` and `med_config.json` (both of THUDM/ImageReward) and bert-base-uncased's
 * tokenizer.json. The authors' tokenizer has two more tokens, [DEC] and [ENC]; here a prompt that spells one of them is
 * split.
 */
import { Effect, Schema } from "effect"
import { CheckpointInvalid, readJson } from "../model/model-folder.ts"
import { type BlipConfig, headLayers, unpackBlip } from "../engine/nets/blip.ts"
import type { WeightIndex } from "../engine/weights/parameters.ts"
import { wrongShape } from "../engine/graph/shape-error.ts"
import { padTo } from "../engine/weights/tensor.ts"
import { openTorch } from "../model/torch/torch-file.ts"
import { checkWeights, type PairScorer } from "./family.ts"
import type { ImageRewardCheckpoint, Tokens } from "./graphs.ts"
import { clipColours } from "./preprocessing.ts"
import { findCheckpoint, findTokenizer, makesModel, needFile } from "./torch-folder.ts"

/** As published. */
export const imageRewardFiles = ["ImageReward.pt"]

/** Prompts are padded and cut to this. */
const promptLength = 35

const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))
const MedJson = Schema.Struct({
  hidden_size: PositiveInt,
  intermediate_size: PositiveInt,
  num_hidden_layers: PositiveInt,
  num_attention_heads: PositiveInt,
  layer_norm_eps: Schema.Finite,
  max_position_embeddings: PositiveInt,
  vocab_size: PositiveInt,
  hidden_act: Schema.Literal("gelu")
})

/** Width of a head in every ViT that BLIP was published with (1024 / 16, 768 / 12). */
const headWidth = 64

/** The sizes of the vision tower and the head are in the shapes of their tensors, those of BERT in med_config.json. */
const configOf = (index: WeightIndex, width: number, med: typeof MedJson.Type): BlipConfig => {
  const shape = (name: string, rank: number): ReadonlyArray<number> => {
    const found = index.get(name)?.shape ?? wrongShape(`the weights have no tensor ${name}`)
    return found.length === rank ? found : wrongShape(`${name} is [${found}] in the weights`)
  }
  const at = "blip.visual_encoder"
  const [hidden, , patchSize] = shape(`${at}.patch_embed.proj.weight`, 4)
  const places = shape(`${at}.pos_embed`, 3)[1]!
  const layers = [...index.keys()].filter((name) => name.startsWith(`${at}.blocks.`) && name.endsWith(".norm1.weight")).length
  if (hidden! % width !== 0 || layers === 0) wrongShape(`${layers} blocks of ${hidden} in heads of ${width} make no model`)
  if (med.hidden_size % med.num_attention_heads !== 0 || med.max_position_embeddings < promptLength) {
    wrongShape(`med_config.json has ${med.hidden_size} in ${med.num_attention_heads} heads and ${med.max_position_embeddings} positions`)
  }
  return {
    vision: {
      hidden: hidden!,
      intermediate: shape(`${at}.blocks.0.mlp.fc1.weight`, 2)[0]!,
      layers,
      heads: hidden! / width,
      normEpsilon: 1e-6,
      activation: "gelu",
      imageSize: Math.round(Math.sqrt(places - 1)) * patchSize!,
      patchSize: patchSize!
    },
    text: {
      hidden: med.hidden_size,
      intermediate: med.intermediate_size,
      layers: med.num_hidden_layers,
      heads: med.num_attention_heads,
      normEpsilon: med.layer_norm_eps,
      activation: "gelu",
      vocab: med.vocab_size,
      maxPositions: med.max_position_embeddings
    },
    head: headLayers.map((i) => shape(`mlp.layers.${i}.weight`, 2)[0]!),
    mean: 0.16717363830052426,
    std: 1.0333394966054072
  }
}

/**
 * Fails with `CheckpointInvalid` if a file is missing or broken, or if config and weights disagree.
 *
 * @param path the folder, or its .pt file
 */
export const openImageReward = Effect.fn("openImageReward")(function*(path: string, visionHeadWidth: number = headWidth) {
  const { file, folder } = yield* findCheckpoint(path, imageRewardFiles, "THUDM/ImageReward")
  yield* needFile(folder, "med_config.json", "THUDM/ImageReward")
  const med = yield* readJson(folder, "med_config.json", MedJson)
  const given = yield* openTorch(file)
  const { config, index } = yield* makesModel(file, () => ({
    config: configOf(given.index, visionHeadWidth, med),
    index: unpackBlip(given.index)
  }))
  const { imageSize } = config.vision
  const checkpoint: ImageRewardCheckpoint = {
    folder: given.folder,
    index,
    family: "image-reward",
    config,
    preprocessing: { resized: imageSize, side: imageSize, filter: "bicubic", factor: 1 / 255, ...clipColours },
    textLength: promptLength
  }
  yield* checkWeights(folder, checkpoint)
  const tokenizer = yield* findTokenizer(folder, "bert-base-uncased")
  const [start, end] = tokenizer.encode("").ids
  if (start === undefined || end === undefined || tokenizer.token_to_id("[CLS]") !== start || tokenizer.get_vocab(true).size > med.vocab_size) {
    return yield* new CheckpointInvalid({
      message: `${folder}: tokenizer.json is not BERT's, which ImageReward reads: take that of bert-base-uncased.`
    })
  }
  const tokenize = (text: string): Tokens => {
    const ids = tokenizer.encode(text, { add_special_tokens: false }).ids.slice(0, promptLength - 2)
    return { ids: padTo([start, ...ids, end], promptLength, tokenizer.token_to_id("[PAD]") ?? 0), length: ids.length + 2 }
  }
  return { checkpoint, tokenize } satisfies PairScorer<ImageRewardCheckpoint> as PairScorer<ImageRewardCheckpoint>
})
