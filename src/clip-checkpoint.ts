/** Opens a CLIP checkpoint folder (Hugging Face `CLIPModel` layout), its preprocessing and its tokenizer. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Tokenizer } from "@huggingface/tokenizers"
import { Effect, Schema } from "effect"
import { CheckpointInvalid, openWeights, readJson, type WeightFiles } from "./checkpoint.ts"
import { type ClipConfig, clipShapes, type TowerConfig } from "./numerics/clip.ts"
import type { Filter } from "./numerics/resize.ts"
import { padTo } from "./numerics/tensor.ts"

const int = (value: number) => Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
const real = (value: number) => Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
const Activation = Schema.Literals(["quick_gelu", "gelu"])

/** transformers leaves out what equals its own defaults; these are they. */
const ClipJson = Schema.Struct({
  model_type: Schema.Literal("clip"),
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
    hidden_act: Activation.pipe(Schema.withDecodingDefaultKey(Effect.succeed("quick_gelu" as const)))
  }),
  vision_config: Schema.Struct({
    hidden_size: int(768),
    intermediate_size: int(3072),
    num_hidden_layers: int(12),
    num_attention_heads: int(12),
    image_size: int(224),
    patch_size: int(32),
    layer_norm_eps: real(1e-5),
    hidden_act: Activation.pipe(Schema.withDecodingDefaultKey(Effect.succeed("quick_gelu" as const)))
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

/** OpenAI's, which preprocessor_config.json of most checkpoints repeats. */
const Preprocessor = Schema.Struct({
  image_mean: Schema.Array(Schema.Finite).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed([0.48145466, 0.4578275, 0.40821073]))
  ),
  image_std: Schema.Array(Schema.Finite).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed([0.26862954, 0.26130258, 0.27577711]))
  ),
  /** Pillow's number of the filter that pictures are resized with. */
  resample: Schema.Literals([1, 2, 3, 4]).pipe(Schema.withDecodingDefaultKey(Effect.succeed(3 as const)))
})
const filterNames = { 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box" } as const

export interface ClipCheckpoint extends WeightFiles {
  readonly config: ClipConfig
  readonly mean: ReadonlyArray<number>
  readonly std: ReadonlyArray<number>
  /** How a picture of another size is brought to the model's. */
  readonly filter: Filter
}

export interface OpenedClip {
  /** Plain data, for the worker. */
  readonly checkpoint: ClipCheckpoint
  /** Tokens of a text, begin and end included, cut to the model's length and right-padded to it. */
  readonly tokenize: (text: string) => ReadonlyArray<number>
}

/** Fails with `CheckpointInvalid` when a file is missing or broken, or when config and weights disagree. */
export const openClip = Effect.fn("openClip")(function*(folder: string) {
  const config = yield* clipConfig(folder)
  const files = yield* openWeights(folder)
  for (const [name, shape] of clipShapes(config)) {
    const found = files.index.get(name)?.shape
    if (found?.join() !== shape.join()) {
      return yield* new CheckpointInvalid({
        message: `${folder}: ${name} is ${found ? `[${found}]` : "missing"} in the weights, but config.json asks for [${shape}].`
      })
    }
  }
  const preprocessor = fs.existsSync(path.join(folder, "preprocessor_config.json"))
    ? yield* readJson(folder, "preprocessor_config.json", Preprocessor)
    : yield* Effect.orDie(Schema.decodeEffect(Preprocessor)({}))
  const any = Schema.Record(Schema.String, Schema.Unknown)
  const tokenizer = new Tokenizer(
    yield* readJson(folder, "tokenizer.json", any),
    yield* readJson(folder, "tokenizer_config.json", any)
  )
  const { eosTokenId, maxPositions } = config.text
  const tokenize = (text: string): ReadonlyArray<number> => {
    const ids = tokenizer.encode(text).ids
    const body = ids.at(-1) === eosTokenId ? ids.slice(0, -1) : ids
    return padTo([...body.slice(0, maxPositions - 1), eosTokenId], maxPositions)
  }
  return {
    checkpoint: {
      ...files,
      config,
      mean: preprocessor.image_mean,
      std: preprocessor.image_std,
      filter: filterNames[preprocessor.resample]
    },
    tokenize
  } satisfies OpenedClip as OpenedClip
})
