/**
 * DINOv2 as a scorer of pictures against a reference picture: any Hugging Face `Dinov2Model` folder. It reads no text.
 */
import { Effect, Schema } from "effect"
import { openWeights, readJson } from "../model/model-folder.ts"
import type { VisionConfig } from "../engine/nets/encoder.ts"
import { activation, checkFamily, checkWeights, int, real } from "./family.ts"
import type { Dinov2Checkpoint } from "./graphs.ts"
import { readPreprocessing } from "./preprocessing.ts"

const Dinov2Json = Schema.Struct({
  hidden_size: int(768),
  num_hidden_layers: int(12),
  num_attention_heads: int(12),
  mlp_ratio: real(4),
  hidden_act: activation("gelu"),
  layer_norm_eps: real(1e-6),
  image_size: int(224),
  patch_size: int(14),
  qkv_bias: Schema.Literal(true).pipe(Schema.withDecodingDefaultKey(Effect.succeed(true as const))),
  use_swiglu_ffn: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false)))
})

export const dinov2Config = Effect.fnUntraced(function*(folder: string) {
  yield* checkFamily(folder, "dinov2", "facebook/dinov2-small")
  const json = yield* readJson(folder, "config.json", Dinov2Json)
  const wide = Math.trunc(json.hidden_size * json.mlp_ratio)
  return {
    hidden: json.hidden_size,
    // SwiGLU has three matrices instead of two: two thirds of the width, rounded up to a multiple of 8.
    intermediate: json.use_swiglu_ffn ? Math.ceil(Math.trunc(wide * 2 / 3) / 8) * 8 : wide,
    layers: json.num_hidden_layers,
    heads: json.num_attention_heads,
    normEpsilon: json.layer_norm_eps,
    activation: json.use_swiglu_ffn ? "swiglu" : json.hidden_act,
    imageSize: json.image_size,
    patchSize: json.patch_size
  } satisfies VisionConfig as VisionConfig
})

/** ImageNet's, and the sizes of DINOv2's own evaluation. */
const preprocessingDefaults = { size: 256, crop: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

/** Fails with `CheckpointInvalid` if a file is missing or broken, or if config and weights disagree. */
export const openDinov2 = Effect.fn("openDinov2")(function*(folder: string) {
  const config = yield* dinov2Config(folder)
  const files = yield* openWeights(folder)
  const preprocessing = yield* readPreprocessing(folder, preprocessingDefaults)
  const checkpoint: Dinov2Checkpoint = { ...files, family: "dinov2", config, preprocessing, textLength: 0 }
  yield* checkWeights(folder, checkpoint)
  return checkpoint
})
