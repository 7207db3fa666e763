/** config.json files as they are published, what they mean, and what is refused. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { decoderConfig } from "../../src/model/decoder-config.ts"
import type { DecoderConfig } from "../../src/engine/nets/transformer.ts"

const read = (json: unknown) => Effect.runPromise(decoderConfig(json))

const llama32 = {
  model_type: "llama",
  vocab_size: 128_256,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
  max_position_embeddings: 131_072,
  attention_bias: false,
  mlp_bias: false,
  pretraining_tp: 1,
  rope_scaling: {
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
    rope_type: "llama3"
  },
  rope_theta: 500_000,
  tie_word_embeddings: true
}
const smol = {
  model_type: "llama",
  vocab_size: 49_152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
  max_position_embeddings: 8192,
  rope_interleaved: false,
  rope_scaling: null,
  rope_theta: 100_000,
  tie_word_embeddings: true
}
const qwen25 = {
  model_type: "qwen2",
  vocab_size: 151_936,
  hidden_size: 896,
  intermediate_size: 4864,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  hidden_act: "silu",
  rms_norm_eps: 1e-6,
  max_position_embeddings: 32_768,
  max_window_layers: 21,
  rope_theta: 1_000_000,
  sliding_window: 32_768,
  tie_word_embeddings: true,
  use_sliding_window: false
}
const gemmaSizes = {
  model_type: "gemma3_text",
  vocab_size: 262_144,
  hidden_size: 1152,
  intermediate_size: 6912,
  num_hidden_layers: 26,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  head_dim: 256,
  hidden_activation: "gelu_pytorch_tanh",
  rms_norm_eps: 1e-6,
  max_position_embeddings: 32_768,
  attention_bias: false,
  attn_logit_softcapping: null,
  final_logit_softcapping: null,
  query_pre_attn_scalar: 256,
  sliding_window: 512
}
const gemma1b = {
  ...gemmaSizes,
  rope_local_base_freq: 10_000,
  rope_scaling: null,
  rope_theta: 1_000_000,
  sliding_window_pattern: 6
}
/** The same as transformers 5 writes it. */
const gemma1bNew = {
  ...gemmaSizes,
  _sliding_window_pattern: 6,
  layer_types: Array.from({ length: 26 }, (_, i) => [5, 11, 17, 23].includes(i) ? "full_attention" : "sliding_attention"),
  rope_parameters: {
    full_attention: { rope_theta: 1_000_000, rope_type: "default" },
    sliding_attention: { rope_theta: 10_000, rope_type: "default" }
  },
  tie_word_embeddings: true,
  use_bidirectional_attention: false
}

const common = (json: typeof smol | typeof qwen25 | typeof gemma1b | typeof llama32) => ({
  family: json.model_type,
  vocab: json.vocab_size,
  hidden: json.hidden_size,
  intermediate: json.intermediate_size,
  layers: json.num_hidden_layers,
  heads: json.num_attention_heads,
  kvHeads: json.num_key_value_heads,
  normEpsilon: json.rms_norm_eps,
  ropeTheta: json.rope_theta,
  ropeScaling: undefined,
  sliding: undefined,
  tied: true,
  maxPositions: json.max_position_embeddings
})

describe("published configs", () => {
  it.each<[string, unknown, object]>([
    ["SmolLM2-135M-Instruct", smol, { ...common(smol), headDim: 64, queryScalar: 64 }],
    ["Qwen2.5-0.5B-Instruct", qwen25, { ...common(qwen25), headDim: 64, queryScalar: 64 }],
    ["Llama-3.2-1B-Instruct", llama32, {
      ...common(llama32),
      headDim: 64,
      queryScalar: 64,
      ropeScaling: { factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 8192 }
    }],
    ...[gemma1b, gemma1bNew].map((json, n): [string, unknown, object] => [`gemma-3-1b-it, transformers ${n + 4}`, json, {
      ...common(gemma1b),
      headDim: 256,
      queryScalar: 256,
      sliding: {
        layers: Array.from({ length: 26 }, (_, i) => ![5, 11, 17, 23].includes(i)),
        window: 512,
        ropeTheta: 10_000
      }
    }])
  ])("%s", async (_name, json, expected) => assert.deepStrictEqual(await read(json), expected as DecoderConfig))
})

describe("refused in a sentence", () => {
  it.each<[string, unknown, string]>([
    ["an unknown family", { model_type: "mamba" }, "is of the family \"mamba\": known are qwen3, qwen2, llama and gemma3_text"],
    ["Gemma 3 with vision", { model_type: "gemma3" }, "is of the family \"gemma3\": known are qwen3, qwen2, llama and gemma3_text; take a Gemma 3 without vision, such as google/gemma-3-1b-it"],
    ["sliding windows of Qwen2", { ...qwen25, use_sliding_window: true }, "asks for use_sliding_window, which is not supported for qwen2"],
    ["sliding layers elsewhere", { ...smol, layer_types: ["sliding_attention"] }, "asks for sliding layers (layer_types), which is not supported for llama"],
    ["other biases", { ...llama32, attention_bias: true }, "asks for attention_bias, which is not supported for llama"],
    ["capped attention", { ...gemma1b, attn_logit_softcapping: 50 }, "asks for attn_logit_softcapping, which is not supported for gemma3_text"],
    ["capped logits", { ...gemma1b, final_logit_softcapping: 30 }, "asks for final_logit_softcapping, which is not supported for gemma3_text"],
    ["attention to what comes", { ...gemma1bNew, use_bidirectional_attention: true }, "asks for use_bidirectional_attention, which is not supported for gemma3_text"],
    ["quantized weights", { ...qwen25, quantization_config: { bits: 4 } }, "is quantized (in some way), which is not read: take the checkpoint that it was made of"],
    ["another activation", { ...qwen25, hidden_act: "gelu" }, "asks for the activation \"gelu\": qwen2 is known with silu"],
    ["another rotary scaling", { ...qwen25, rope_scaling: { type: "yarn", factor: 4 } }, "asks for \"yarn\" rotary scaling: known are default and llama3"],
    ["the same in transformers 5", { ...smol, rope_parameters: { rope_type: "linear", factor: 4 } }, "asks for \"linear\" rotary scaling: known are default and llama3"],
    ["scaled sliding layers", {
      ...gemma1bNew,
      rope_parameters: { sliding_attention: { rope_type: "linear", factor: 8 } }
    }, "asks for \"linear\" rotary scaling of sliding layers: known is default"],
    ["positions on a part of each head", { ...smol, rope_parameters: { partial_rotary_factor: 0.5 } }, "asks for partial_rotary_factor, which is not supported for llama"],
    ["layers without a type", { ...gemma1b, layer_types: ["full_attention"] }, "has 1 layer_types for 26 layers"],
    ["heads that cannot share", { ...smol, num_key_value_heads: 2 }, "has 9 query heads, which 2 key heads cannot share evenly"]
  ])("%s", async (_name, json, expected) => {
    const error = await Effect.runPromise(Effect.flip(decoderConfig(json)))
    assert.strictEqual(error.message, expected)
  })

  it("a missing field is named", async () => {
    const error = await Effect.runPromise(Effect.flip(decoderConfig({ ...gemma1b, sliding_window: undefined })))
    assert.include(error.message, "sliding_window")
  })
})
