/** CLIP as a scorer: any Hugging Face `CLIPModel` folder. A score is exp(logit_scale) * cos(text, picture). */
import { Effect, Schema } from "effect"
import { openWeights, readJson } from "../checkpoint.ts"
import { type ClipConfig, encodeImages, encodeTexts, textEnd } from "../numerics/clip.ts"
import { activations, type TowerConfig } from "../numerics/encoder.ts"
import { padTo } from "../numerics/tensor.ts"
import {
  checkFamily,
  checkWeights,
  dot,
  type Graphs,
  int,
  readScalar,
  readTokenizer,
  real,
  type ScorerFiles,
  type TextScorer,
  type Tokens
} from "./family.ts"
import { checkSide, clipColours, readPreprocessing } from "./preprocessing.ts"

export interface ClipCheckpoint extends ScorerFiles {
  readonly family: "clip"
  readonly config: ClipConfig
}

export const clipGraphs = (c: ClipConfig): Graphs => ({
  pictures: (g, get, { pixels }) => encodeImages(g, get, c, pixels()),
  texts: (g, get, { ends, ids }) => encodeTexts(g, get, c, ids(), ends())
})

const activation = Schema.Literals(activations).pipe(Schema.withDecodingDefaultKey(Effect.succeed("quick_gelu" as const)))

/** transformers leaves out what equals its own defaults; these are they. */
const ClipJson = Schema.Struct({
  projection_dim: int(512),
  text_config: Schema.Struct({
    vocab_size: int(49_408),
    hidden_size: int(512),
    intermediate_size: int(2048),
    num_hidden_layers: int(12),
    num_attention_heads: int(8),
    max_position_embeddings: int(77),
    eos_token_id: int(49_407),
    layer_norm_eps: real(1e-5),
    hidden_act: activation
  }),
  vision_config: Schema.Struct({
    hidden_size: int(768),
    intermediate_size: int(3072),
    num_hidden_layers: int(12),
    num_attention_heads: int(12),
    image_size: int(224),
    patch_size: int(32),
    layer_norm_eps: real(1e-5),
    hidden_act: activation
  })
})

const tower = (json: (typeof ClipJson.Type)["text_config"] | (typeof ClipJson.Type)["vision_config"]): TowerConfig => ({
  hidden: json.hidden_size,
  intermediate: json.intermediate_size,
  layers: json.num_hidden_layers,
  heads: json.num_attention_heads,
  normEpsilon: json.layer_norm_eps,
  activation: json.hidden_act
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

/** Fails with `CheckpointInvalid` when a file is missing or broken, or when config and weights disagree. */
export const openClip = Effect.fn("openClip")(function*(folder: string) {
  const config = yield* clipConfig(folder)
  const files = yield* openWeights(folder)
  const { imageSize } = config.vision
  const preprocessing = yield* readPreprocessing(folder, { size: imageSize, crop: imageSize, ...clipColours })
  yield* checkSide(preprocessing, imageSize, folder)
  const { maxPositions } = config.text
  const checkpoint: ClipCheckpoint = { ...files, family: "clip", config, preprocessing, textLength: maxPositions }
  yield* checkWeights(folder, checkpoint, clipGraphs(config))
  const scale = Math.exp(yield* readScalar(folder, files, "logit_scale"))
  const tokenizer = yield* readTokenizer(folder)
  // Old checkpoints say 2 where they mean the end-of-text token; their tokenizer knows which that is.
  const eos = config.text.eosTokenId === 2 ? tokenizer.encode("").ids.at(-1) ?? 2 : config.text.eosTokenId
  /** Begin and end included, cut to the model's length. */
  const tokenize = (text: string): Tokens => {
    const ids = tokenizer.encode(text).ids
    const body = ids.at(-1) === eos ? ids.slice(0, -1) : ids
    const cut = [...body.slice(0, maxPositions - 1), eos]
    return { ids: padTo(cut, maxPositions), length: textEnd(cut, eos) + 1 }
  }
  return {
    checkpoint,
    tokenize,
    score: (text, picture) => scale * dot(text, picture)
  } satisfies TextScorer<ClipCheckpoint> as TextScorer<ClipCheckpoint>
})
