/** Weights in ggml's block formats (ggml/src/ggml-common.h, ggml-quants.c). */
import { toFloat16 } from "../engine/weights/safetensors.ts"

/** ggml's number of each type, and weights and bytes a block. */
export const ggmlTypes = {
  F32: { id: 0, weights: 1, bytes: 4 },
  F16: { id: 1, weights: 1, bytes: 2 },
  /** f16 scale, 32 nibbles minus 8. */
  Q4_0: { id: 2, weights: 32, bytes: 18 },
  /** f16 scale, 32 int8. */
  Q8_0: { id: 8, weights: 32, bytes: 34 },
  /** 128 bytes of low nibbles, 64 of the upper two bits, 16 int8 scales, f16 scale of these. */
  Q6_K: { id: 14, weights: 256, bytes: 210 }
} as const
export type GgmlType = keyof typeof ggmlTypes

/**
 * Rows whose width is a multiple of 32 as Q8_0: for each 32 values scale = max|x| / 127 as float16, then
 * round(x / scale) as int8, halves away from zero (`quantize_row_q8_0_ref`, which divides by the scale before it is
 * rounded to float16).
 */
export const encodeQ8_0 = (values: Float32Array): Uint8Array => {
  const { bytes: size, weights } = ggmlTypes.Q8_0
  const blocks = values.length / weights
  const out = new Uint8Array(blocks * size)
  const signed = new Int8Array(out.buffer)
  for (let b = 0; b < blocks; b++) {
    const from = b * weights
    let largest = 0
    for (let i = from; i < from + weights; i++) {
      const x = Math.abs(values[i]!)
      if (x > largest) largest = x
    }
    const scale = Math.fround(largest / 127)
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    const half = toFloat16(scale)
    const at = b * size
    out[at] = half & 0xff
    out[at + 1] = half >>> 8
    for (let i = 0; i < weights; i++) {
      const x = Math.fround(values[from + i]! * inverse)
      signed[at + 2 + i] = x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5)
    }
  }
  return out
}
