/**
 * SigLIP and SigLIP 2 as scorers: any Hugging Face `SiglipModel` folder (one fixed resolution; not the NaFlex ones). A
 * score is exp(logit_scale) * cos(text, picture) + logit_bias, whose σ is the model's probability that the two belong
 * together.
 */
import { Effect, Schema } from "effect"
import { CheckpointInvalid, openWeights, readJson } from "../model/model-folder.ts"
import type { SiglipConfig } from "../engine/nets/siglip.ts"
import { padTo } from "../engine/weights/tensor.ts"
import { checkFamily, checkWeights, dot, endWith, int, readScalar, readTokenizer, type TextScorer, tower, towerJson } from "./family.ts"
import type { SiglipCheckpoint, Tokens } from "./graphs.ts"
import { checkSide, readPreprocessing } from "./preprocessing.ts"

const defaults = { hidden: 768, intermediate: 3072, layers: 12, heads: 12, normEpsilon: 1e-6, activation: "gelu_pytorch_tanh" } as const
const SiglipJson = Schema.Struct({
  text_config: Schema.Struct({
    ...towerJson(defaults),
    vocab_size: int(32_000),
    max_position_embeddings: int(64),
    projection_size: Schema.optionalKey(Schema.NullOr(Schema.Int))
  }),
  vision_config: Schema.Struct({
    ...towerJson(defaults),
    image_size: int(224),
    patch_size: int(16),
    vision_use_head: Schema.Literal(true).pipe(Schema.withDecodingDefaultKey(Effect.succeed(true as const)))
  })
})

export const siglipConfig = Effect.fnUntraced(function*(folder: string) {
  yield* checkFamily(folder, "siglip", "google/siglip2-base-patch16-384")
  const { text_config, vision_config } = yield* readJson(folder, "config.json", SiglipJson)
  const projection = text_config.projection_size ?? text_config.hidden_size
  if (projection !== vision_config.hidden_size) {
    return yield* new CheckpointInvalid({
      message: `${folder}: config.json makes texts ${projection} wide and pictures ${vision_config.hidden_size}: they cannot be compared.`
    })
  }
  return {
    text: {
      ...tower(text_config),
      vocab: text_config.vocab_size,
      maxPositions: text_config.max_position_embeddings,
      projection
    },
    vision: { ...tower(vision_config), imageSize: vision_config.image_size, patchSize: vision_config.patch_size }
  } satisfies SiglipConfig as SiglipConfig
})

const Token = Schema.Union([Schema.String, Schema.Struct({ content: Schema.String })])
const TokenizerJson = Schema.Struct({
  tokenizer_class: Schema.optionalKey(Schema.NullOr(Schema.String)),
  eos_token: Schema.optionalKey(Schema.NullOr(Token)),
  pad_token: Schema.optionalKey(Schema.NullOr(Token))
})
const contentOf = (token: typeof Token.Type): string => typeof token === "string" ? token : token.content

/** ASCII punctuation, as Python's `string.punctuation` lists it. */
const punctuation = /[!-/:-@[-`{-~]/g

/**
 * How texts were prepared in training before the tokenizer saw them: both models lower-case them, and SigLIP (not
 * SigLIP 2) also removes punctuation. It is done here because not every published tokenizer.json says so; doing it
 * twice changes nothing.
 */
const canonical = (first: boolean) => (text: string): string => {
  const lower = text.toLowerCase()
  return first ? lower.replace(punctuation, "").replace(/\s+/g, " ").trim() : lower
}

/** Fails with `CheckpointInvalid` if a file is missing or broken, or if config and weights disagree. */
export const openSiglip = Effect.fn("openSiglip")(function*(folder: string) {
  const config = yield* siglipConfig(folder)
  const files = yield* openWeights(folder)
  const { imageSize } = config.vision
  const half = [0.5, 0.5, 0.5]
  const preprocessing = yield* readPreprocessing(folder, { size: imageSize, mean: half, std: half })
  yield* checkSide(preprocessing, imageSize, folder)
  const { maxPositions } = config.text
  const checkpoint: SiglipCheckpoint = { ...files, family: "siglip", config, preprocessing, textLength: maxPositions }
  yield* checkWeights(folder, checkpoint)
  const scale = Math.exp(yield* readScalar(folder, files, "logit_scale"))
  const bias = yield* readScalar(folder, files, "logit_bias")
  const tokenizer = yield* readTokenizer(folder)
  const { eos_token, pad_token, tokenizer_class } = yield* readJson(folder, "tokenizer_config.json", TokenizerJson)
  const idOf = (token: typeof Token.Type | null | undefined, fallback: string) =>
    tokenizer.token_to_id(token == null ? fallback : contentOf(token))
  const eos = idOf(eos_token, "</s>") ?? 1 // 1 in both published vocabularies
  const pad = idOf(pad_token, "</s>") ?? eos
  const prepare = canonical(tokenizer_class?.startsWith("SiglipTokenizer") ?? false)
  const tokenize = (text: string): Tokens => {
    const cut = endWith(tokenizer.encode(prepare(text)).ids, eos, maxPositions)
    return { ids: padTo(cut, maxPositions, pad), length: cut.length }
  }
  return {
    checkpoint,
    tokenize,
    score: (text, picture) => scale * dot(text, picture) + bias
  } satisfies TextScorer<SiglipCheckpoint> as TextScorer<SiglipCheckpoint>
})
