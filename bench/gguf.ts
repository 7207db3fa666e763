/**
 * A peer to be measured beside, as a GGUF file: a decoder of a given shape with random weights in ggml's block formats.
 * Only the speed is of interest: a token's text is its number, and every tensor repeats the same blocks.
 */
import * as fs from "node:fs"
import { hash32 } from "../src/engine/random.ts"
import { toFloat16 } from "../src/engine/weights/safetensors.ts"
import { type DecoderConfig, parameterShapes } from "../src/engine/nets/transformer.ts"
import { type GgmlType, ggmlTypes } from "../src/export/ggml-types.ts"
import { aligned, encodeGgufHeader, string, strings, tensorBytes, uint } from "../src/export/gguf-file.ts"
import { architectures, ggufHyperparameters, ggufName } from "../src/export/gguf-model.ts"

export type GgufPrecision = "Q4_0" | "Q8_0"

/** Where the half-precision scale of a block is, and what makes weights about ±0.02. */
const scales = {
  Q4_0: { scaleAt: 0, scale: 0.02 / 4.6 },
  Q8_0: { scaleAt: 0, scale: 0.02 / 74 },
  Q6_K: { scaleAt: 208, scale: 0.02 / (18.5 * 74) }
} as const

/** What `llama-quantize` makes of a tied embedding, which is the output layer as well: 4-bit files keep it at 6 bits. */
const tiedEmbedding: Readonly<Record<GgufPrecision, keyof typeof scales>> = { Q4_0: "Q6_K", Q8_0: "Q8_0" }
const fileType: Readonly<Record<GgufPrecision, number>> = { Q4_0: 2, Q8_0: 7 }

const metadata = (c: DecoderConfig, precision: GgufPrecision) => [
  string("general.architecture", architectures[c.family]),
  uint("general.file_type", fileType[precision]),
  ...ggufHyperparameters(c),
  string("tokenizer.ggml.model", "gpt2"),
  string("tokenizer.ggml.pre", "qwen2"),
  strings("tokenizer.ggml.tokens", Array.from({ length: c.vocab }, (_, n) => `${n}`)),
  strings("tokenizer.ggml.merges", ["1 0"]),
  uint("tokenizer.ggml.eos_token_id", c.vocab - 1)
]

/** Random blocks of a type, at most 2 ** 15: long tensors repeat them. */
const noise = (type: keyof typeof scales): Uint8Array => {
  const { scale, scaleAt } = scales[type]
  const { bytes } = ggmlTypes[type]
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
  const tensors = [...parameterShapes(c)].map(([name, shape]) => {
    const type: GgmlType = shape.length === 1 ? "F32" : name.startsWith("model.embed") ? tiedEmbedding[precision] : precision
    return { name: ggufName(c, name), shape, type }
  })
  const header = encodeGgufHeader(metadata(c, precision), tensors)
  const ones = new Uint8Array(new Float32Array(c.hidden).fill(1).buffer)
  const blocks = new Map<GgmlType, Uint8Array>([["F32", ones], ...[precision, tiedEmbedding[precision]].map((type) => [type, noise(type)] as const)])
  const fd = fs.openSync(file, "w")
  fs.writeSync(fd, header)
  let start = header.length
  for (const tensor of tensors) {
    const part = blocks.get(tensor.type)!
    const bytes = tensorBytes(tensor)
    for (let at = 0; at < bytes; at += part.length) fs.writeSync(fd, part, 0, Math.min(part.length, bytes - at), start + at)
    start += aligned(bytes)
  }
  fs.closeSync(fd)
}
