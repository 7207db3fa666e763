/** CLIP as a scorer: any Hugging Face `CLIPModel` folder. A score is exp(logit_scale) * cos(text, picture). */
import { Effect, Schema } from "effect"
import { openWeights, readJson } from "../model/model-folder.ts"
import { type ClipConfig, textEnd } from "../engine/nets/clip.ts"
import { padTo } from "../engine/weights/tensor.ts"
import { checkFamily, checkWeights, dot, endWith, int, readScalar, readTokenizer, type TextScorer, tower, towerJson } from "./family.ts"
import type { ClipCheckpoint, Tokens } from "./graphs.ts"
import { checkSide, clipColours, readPreprocessing } from "./preprocessing.ts"

const ClipJson = Schema.Struct({
  projection_dim: int(512),
  text_config: Schema.Struct({
    ...towerJson({ hidden: 512, intermediate: 2048, layers: 12, heads: 8, normEpsilon: 1e-5, activation: "quick_gelu" }),
    vocab_size: int(49_408),
    max_position_embeddings: int(77),
    eos_token_id: int(49_407)
  }),
  vision_config: Schema.Struct({
    ...towerJson({ hidden: 768, intermediate: 3072, layers: 12, heads: 12, normEpsilon: 1e-5, activation: "quick_gelu" }),
    image_size: int(224),
    patch_size: int(32)
  })
})

export const clipConfig = Effect.fnUntraced(function*(folder: string) {
  yield* checkFamily(folder, "clip", "openai/clip-vit-base-patch32")
  const json = yield* readJson(folder, "config.json", ClipJson)
  return {
    text: {
      ...tower(json.text_config),
      vocab: json.text_config.vocab_size,
      maxPositions: json.text_config.max_position_embeddings,
      eosTokenId: json.text_config.eos_token_id
    },
    vision: {
      ...tower(json.vision_config),
      imageSize: json.vision_config.image_size,
      patchSize: json.vision_config.patch_size
    },
    projection: json.projection_dim
  } satisfies ClipConfig as ClipConfig
})

/** Fails with `CheckpointInvalid` if a file is missing or broken, or if config and weights disagree. */
export const openClip = Effect.fn("openClip")(function*(folder: string) {
  const config = yield* clipConfig(folder)
  const files = yield* openWeights(folder)
  const { imageSize } = config.vision
  const preprocessing = yield* readPreprocessing(folder, { size: imageSize, crop: imageSize, ...clipColours })
  yield* checkSide(preprocessing, imageSize, folder)
  const { maxPositions } = config.text
  const checkpoint: ClipCheckpoint = { ...files, family: "clip", config, preprocessing, textLength: maxPositions }
  yield* checkWeights(folder, checkpoint)
  const scale = Math.exp(yield* readScalar(folder, files, "logit_scale"))
  const tokenizer = yield* readTokenizer(folder)
  // Old checkpoints say 2 where they mean the end-of-text token; their tokenizer knows which that is.
  const eos = config.text.eosTokenId === 2 ? tokenizer.encode("").ids.at(-1) ?? 2 : config.text.eosTokenId
  /** With begin and end tokens, cut to the model's length. */
  const tokenize = (text: string): Tokens => {
    const cut = endWith(tokenizer.encode(text).ids, eos, maxPositions)
    return { ids: padTo(cut, maxPositions), length: textEnd(cut, eos) + 1 }
  }
  return {
    checkpoint,
    tokenize,
    score: (text, picture) => scale * dot(text, picture)
  } satisfies TextScorer<ClipCheckpoint> as TextScorer<ClipCheckpoint>
})
