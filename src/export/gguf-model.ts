/**
 * A decoder as llama.cpp names and lays it out: its architecture's metadata, and each tensor of the checkpoint under
 * llama.cpp's name. What its own converter changes is changed here too (llama.cpp's `conversion/*.py`,
 * `gguf-py/gguf/tensor_mapping.py`).
 */
import { type DecoderConfig, parameterShapes, rotaryFrequencies, traits } from "../engine/nets/transformer.ts"
import { float, type Pair, uint } from "./gguf-file.ts"

export const architectures: Readonly<Record<DecoderConfig["family"], string>> = {
  llama: "llama",
  qwen2: "qwen2",
  qwen3: "qwen3",
  gemma3_text: "gemma3"
}

const names: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
  input_layernorm: "attn_norm",
  post_attention_layernorm: "ffn_norm"
}
/** Where a layer's outputs have norms of their own, one of the names means another norm. */
const postNormNames: Readonly<Record<string, string>> = {
  ...names,
  post_attention_layernorm: "post_attention_norm",
  pre_feedforward_layernorm: "ffn_norm",
  post_feedforward_layernorm: "post_ffw_norm"
}

/** `model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`. */
export const ggufName = (c: DecoderConfig, name: string): string => {
  const [, layer, module, kind] = /^(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name)!
  const known = traits[c.family].postNorms ? postNormNames : names
  return `${layer === undefined ? "" : `blk.${layer}.`}${known[module!]!}.${kind}`
}

/** One tensor of the file, and how its values come from the checkpoint's. */
export interface Converted {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  /** The checkpoint's tensor, or values that it does not have. */
  readonly from: string | Float32Array
  /** Changes some rows in place. */
  readonly change: (rows: Float32Array) => void
  /** `change` wants whole groups of so many rows. */
  readonly together: number
}

/** In the checkpoint's order. */
export const convertedTensors = (c: DecoderConfig): ReadonlyArray<Converted> => {
  const tensors = [...parameterShapes(c)].map(([name, shape]): Converted => {
    const half = c.family === "llama" && /\.[qk]_proj\.weight$/.test(name)
    return {
      name: ggufName(c, name),
      shape,
      from: name,
      change: half ? (rows) => interleave(rows, c.headDim, shape[1]!) : normChange(c, name),
      together: half ? c.headDim : 1
    }
  })
  if (c.ropeScaling === undefined) return tensors
  const plain = rotaryFrequencies(c.headDim, c.ropeTheta, undefined)
  const factors = rotaryFrequencies(c.headDim, c.ropeTheta, c.ropeScaling).map((scaled, i) => plain[i]! / scaled)
  const from = Float32Array.from(factors)
  return [...tensors, { name: "rope_freqs.weight", shape: [from.length], from, change: () => {}, together: 1 }]
}

/**
 * llama.cpp rotates neighbours in a head, (0, 1), (2, 3), ..., where Hugging Face's Llama rotates the halves,
 * (0, D/2), (1, D/2 + 1), ...: so rows of the query and key projections change places (`LlamaModel.permute`). Other
 * architectures are rotated by halves there as well.
 */
const interleave = (rows: Float32Array, headDim: number, width: number): void => {
  const half = headDim / 2
  for (let head = 0; head < rows.length; head += headDim * width) {
    const old = rows.slice(head, head + headDim * width)
    for (let i = 0; i < half; i++) {
      rows.set(old.subarray(i * width, (i + 1) * width), head + 2 * i * width)
      rows.set(old.subarray((half + i) * width, (half + i + 1) * width), head + (2 * i + 1) * width)
    }
  }
}

/** Norms hold the whole factor; and the query's norm holds the scale that llama.cpp takes from headDim alone. */
const normChange = (c: DecoderConfig, name: string): Converted["change"] => {
  if (!traits[c.family].normsFromOne || !name.endsWith("norm.weight")) return () => {}
  const scale = name.endsWith("q_norm.weight") ? Math.sqrt(c.headDim / c.queryScalar) : 1
  return (rows) => {
    for (let i = 0; i < rows.length; i++) rows[i] = (1 + rows[i]!) * scale
  }
}

/** Every so many layers one sees everything; undefined if the layers follow no such pattern. */
const fullEvery = (layers: ReadonlyArray<boolean>): number | undefined =>
  Array.from({ length: layers.length + 1 }, (_, i) => i + 1).find((n) => layers.every((sliding, i) => sliding === ((i + 1) % n !== 0)))

/** What llama.cpp cannot do, as text that follows a model's name; undefined if it can do all. */
export const ggufRefusal = (c: DecoderConfig): string | undefined =>
  c.ropeScaling !== undefined && c.family !== "llama"
    ? `has llama3 rotary scaling, which llama.cpp reads for Llama only and not for ${c.family}`
    : c.sliding !== undefined && fullEvery(c.sliding.layers) === undefined
    ? "has sliding layers that do not repeat, and llama.cpp knows them only as all but every n-th"
    : undefined

export const ggufHyperparameters = (c: DecoderConfig): ReadonlyArray<Pair> => {
  const at = architectures[c.family]
  return [
    uint(`${at}.vocab_size`, c.vocab),
    uint(`${at}.block_count`, c.layers),
    uint(`${at}.context_length`, c.maxPositions),
    uint(`${at}.embedding_length`, c.hidden),
    uint(`${at}.feed_forward_length`, c.intermediate),
    uint(`${at}.attention.head_count`, c.heads),
    uint(`${at}.attention.head_count_kv`, c.kvHeads),
    uint(`${at}.attention.key_length`, c.headDim),
    uint(`${at}.attention.value_length`, c.headDim),
    float(`${at}.attention.layer_norm_rms_epsilon`, c.normEpsilon),
    uint(`${at}.rope.dimension_count`, c.headDim),
    float(`${at}.rope.freq_base`, c.ropeTheta),
    ...(c.sliding === undefined ? [] : [
      uint(`${at}.attention.sliding_window`, c.sliding.window),
      uint(`${at}.attention.sliding_window_pattern`, fullEvery(c.sliding.layers)!),
      float(`${at}.rope.freq_base_swa`, c.sliding.ropeTheta)
    ])
  ]
}
