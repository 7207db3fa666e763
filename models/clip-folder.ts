/** A small CLIP of ours, as Hugging Face's `CLIPModel` keeps it: its shape, its tokenizer, its folder. */
import * as fs from "node:fs"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import type { ClipConfig } from "../src/engine/nets/clip.ts"
import { encodeSafetensors } from "../src/engine/weights/safetensors.ts"
import type { Parameters } from "../src/engine/weights/tensor.ts"
import { openWeights, readParameters } from "../src/model/model-folder.ts"
import type { trainBpe } from "../src/model/tokenizer/bpe.ts"

export type ClipTokenizer = ReturnType<typeof trainBpe>

// With an end token of id 2 transformers would read the embedding at the highest id instead: 2 stays unused.
export const eosTokenId = 3
export const tokenizerOptions = {
  specialTokens: ["<|pad|>", "<|startoftext|>", "<|unused|>", "<|endoftext|>"],
  split: " ?[A-Za-z]+| ?[0-9]+|\\s+|[^\\sA-Za-z0-9]+"
}

/** Longest text, tokens, its end included. */
export const maxPositions = 24

export const tokenizerConfig = {
  tokenizer_class: "PreTrainedTokenizerFast",
  model_max_length: maxPositions,
  bos_token: "<|startoftext|>",
  eos_token: "<|endoftext|>",
  pad_token: "<|pad|>",
  clean_up_tokenization_spaces: false
}

const half = [0.5, 0.5, 0.5]
export const normalisation = { factor: 1 / 255, mean: half, std: half }

export interface Towers {
  readonly vocab: number
  readonly text: { readonly hidden: number; readonly layers: number }
  readonly vision: { readonly hidden: number; readonly layers: number; readonly imageSize: number; readonly patchSize: number }
}

export const clipConfig = ({ text, vision, vocab }: Towers): ClipConfig => {
  const tower = ({ hidden, layers }: Towers["text"]) =>
    ({ hidden, intermediate: 4 * hidden, layers, heads: 4, normEpsilon: 1e-5, activation: "quick_gelu" }) as const
  return {
    text: { ...tower(text), vocab, maxPositions, eosTokenId },
    vision: { ...tower(vision), imageSize: vision.imageSize, patchSize: vision.patchSize },
    projection: 128
  }
}

/** What `writeClip` wrote into a folder. `record` is training.json. */
export const readClip = async (folder: string) => {
  const files = await Effect.runPromise(openWeights(folder).pipe(Effect.provide(NodeServices.layer)))
  const json = (file: string): unknown => JSON.parse(fs.readFileSync(path.join(folder, file), "utf8"))
  return { parameters: readParameters(files), tokenizer: json("tokenizer.json") as ClipTokenizer, record: json("training.json") }
}

/** Writes a folder that is complete or not there. `record` becomes training.json. */
export const writeClip = (
  folder: string,
  { config, parameters, record, tokenizer }: {
    readonly config: ClipConfig
    readonly parameters: Parameters
    readonly tokenizer: ClipTokenizer
    readonly record: unknown
  }
): void => {
  const part = `${folder}.part`
  fs.rmSync(part, { recursive: true, force: true })
  fs.mkdirSync(part, { recursive: true })
  const write = (file: string, data: string | Uint8Array) => fs.writeFileSync(path.join(part, file), data)
  const json = (file: string, value: unknown) => write(file, JSON.stringify(value, null, 2) + "\n")
  const tower = (c: ClipConfig["text"] | ClipConfig["vision"]) => ({
    hidden_size: c.hidden,
    intermediate_size: c.intermediate,
    num_hidden_layers: c.layers,
    num_attention_heads: c.heads,
    layer_norm_eps: c.normEpsilon,
    hidden_act: c.activation,
    projection_dim: config.projection
  })
  const { imageSize, patchSize } = config.vision
  json("config.json", {
    architectures: ["CLIPModel"],
    model_type: "clip",
    projection_dim: config.projection,
    logit_scale_init_value: 2.6592,
    text_config: {
      model_type: "clip_text_model",
      ...tower(config.text),
      vocab_size: config.text.vocab,
      max_position_embeddings: config.text.maxPositions,
      bos_token_id: 1,
      eos_token_id: config.text.eosTokenId,
      pad_token_id: 0
    },
    vision_config: {
      model_type: "clip_vision_model",
      ...tower(config.vision),
      image_size: imageSize,
      patch_size: patchSize,
      num_channels: 3
    },
    torch_dtype: "float32"
  })
  write("model.safetensors", encodeSafetensors(parameters, "F16"))
  write("tokenizer.json", JSON.stringify(tokenizer) + "\n")
  json("tokenizer_config.json", tokenizerConfig)
  json("preprocessor_config.json", {
    image_processor_type: "CLIPImageProcessor",
    do_resize: true,
    size: { shortest_edge: imageSize },
    do_center_crop: true,
    crop_size: { height: imageSize, width: imageSize },
    do_normalize: true,
    image_mean: normalisation.mean,
    image_std: normalisation.std,
    resample: 4
  })
  json("training.json", record)
  fs.renameSync(part, folder)
}
