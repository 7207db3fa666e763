/**
 * GGUF version 3, written for a peer to be measured beside: a decoder of a given shape with random weights in ggml's
 * block formats. Only the speed is of interest: a token's text is its number, and every tensor repeats the same blocks.
 */
import * as fs from "node:fs"
import { hash32 } from "../src/engine/random.ts"
import { toFloat16 } from "../src/engine/weights/safetensors.ts"
import { sizeOf } from "../src/engine/weights/tensor.ts"
import { type DecoderConfig, parameterShapes } from "../src/engine/nets/transformer.ts"

/** ggml's number of the type, weights and bytes a block, where its half-precision scale is, and what makes weights about ±0.02. */
const types = {
  F32: { id: 0, weights: 1, bytes: 4, scaleAt: 0, scale: 0 },
  /** f16 scale, 32 nibbles minus 8. */
  Q4_0: { id: 2, weights: 32, bytes: 18, scaleAt: 0, scale: 0.02 / 4.6 },
  /** f16 scale, 32 int8. */
  Q8_0: { id: 8, weights: 32, bytes: 34, scaleAt: 0, scale: 0.02 / 74 },
  /** 128 bytes of low nibbles, 64 of the upper two bits, 16 int8 scales, f16 scale of these. */
  Q6_K: { id: 14, weights: 256, bytes: 210, scaleAt: 208, scale: 0.02 / (18.5 * 74) }
}
type GgmlType = keyof typeof types

export type GgufPrecision = "Q4_0" | "Q8_0"

/** What `llama-quantize` makes of a tied embedding, which is the output layer as well: 4-bit files keep it at 6 bits. */
const tiedEmbedding: Readonly<Record<GgufPrecision, GgmlType>> = { Q4_0: "Q6_K", Q8_0: "Q8_0" }
const fileType: Readonly<Record<GgufPrecision, number>> = { Q4_0: 2, Q8_0: 7 }

const ggufNames: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
  "input_layernorm": "attn_norm",
  "post_attention_layernorm": "ffn_norm"
}

/** `model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`. */
const ggufName = (name: string): string => {
  const [, layer, module] = /^(?:model\.layers\.(\d+)\.)?(.+)\.weight$/.exec(name)!
  return `${layer === undefined ? "" : `blk.${layer}.`}${ggufNames[module!]!}.weight`
}

const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(n)
  return bytes
}
const u64 = (n: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(n))
  return bytes
}
const f32 = (x: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(x)
  return bytes
}
const text = (s: string): Buffer => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)])

// Numbers of GGUF's value types.
const uint = (key: string, n: number): Buffer => Buffer.concat([text(key), u32(4), u32(n)])
const float = (key: string, x: number): Buffer => Buffer.concat([text(key), u32(6), f32(x)])
const string = (key: string, s: string): Buffer => Buffer.concat([text(key), u32(8), text(s)])
const strings = (key: string, list: ReadonlyArray<string>): Buffer =>
  Buffer.concat([text(key), u32(9), u32(8), u64(list.length), ...list.map(text)])

const metadata = (c: DecoderConfig, precision: GgufPrecision): ReadonlyArray<Buffer> => [
  string("general.architecture", "qwen3"),
  uint("general.file_type", fileType[precision]),
  uint("qwen3.block_count", c.layers),
  uint("qwen3.context_length", c.maxPositions),
  uint("qwen3.embedding_length", c.hidden),
  uint("qwen3.feed_forward_length", c.intermediate),
  uint("qwen3.attention.head_count", c.heads),
  uint("qwen3.attention.head_count_kv", c.kvHeads),
  uint("qwen3.attention.key_length", c.headDim),
  uint("qwen3.attention.value_length", c.headDim),
  float("qwen3.attention.layer_norm_rms_epsilon", c.normEpsilon),
  float("qwen3.rope.freq_base", c.ropeTheta),
  string("tokenizer.ggml.model", "gpt2"),
  string("tokenizer.ggml.pre", "qwen2"),
  strings("tokenizer.ggml.tokens", Array.from({ length: c.vocab }, (_, n) => `${n}`)),
  strings("tokenizer.ggml.merges", ["1 0"]),
  uint("tokenizer.ggml.eos_token_id", c.vocab - 1)
]

const aligned = (n: number): number => Math.ceil(n / 32) * 32

/** Random blocks of a type, at most 2 ** 15: long tensors repeat them. */
const noise = ({ bytes, scale, scaleAt }: (typeof types)[GgmlType]): Uint8Array => {
  const blocks = 1 << 15
  const data = new Uint8Array(Uint32Array.from({ length: Math.ceil(blocks * bytes / 4) }, (_, i) => hash32(i)).buffer)
  const half = toFloat16(scale)
  for (let at = scaleAt; at < blocks * bytes; at += bytes) {
    data[at] = half & 0xff
    data[at + 1] = half >>> 8
  }
  return data.subarray(0, blocks * bytes)
}

/** A Qwen3 with tied embeddings; norms are one. Nothing larger than a megabyte or two is held in memory. */
export const writeRandomGguf = (file: string, c: DecoderConfig, precision: GgufPrecision): void => {
  let end = 0
  const tensors = [...parameterShapes(c)].map(([name, shape]) => {
    const type: GgmlType = shape.length === 1 ? "F32" : name.startsWith("model.embed") ? tiedEmbedding[precision] : precision
    const bytes = sizeOf(shape) / types[type].weights * types[type].bytes
    const offset = aligned(end)
    end = offset + bytes
    return { name: ggufName(name), shape, type, bytes, offset }
  })
  const pairs = metadata(c, precision)
  const header = Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(tensors.length),
    u64(pairs.length),
    ...pairs,
    ...tensors.flatMap(({ name, offset, shape, type }) => [
      text(name),
      u32(shape.length),
      ...shape.toReversed().map(u64), // the fastest axis first
      u32(types[type].id),
      u64(offset)
    ])
  ])
  const ones = new Uint8Array(new Float32Array(c.hidden).fill(1).buffer)
  const blocks = { F32: ones, [precision]: noise(types[precision]), [tiedEmbedding[precision]]: noise(types[tiedEmbedding[precision]]) }
  const fd = fs.openSync(file, "w")
  fs.writeSync(fd, header)
  const start = aligned(header.length)
  for (const { bytes, offset, type } of tensors) {
    const part = blocks[type]!
    for (let at = 0; at < bytes; at += part.length) {
      fs.writeSync(fd, part, 0, Math.min(part.length, bytes - at), start + offset + at)
    }
  }
  fs.closeSync(fd)
}
