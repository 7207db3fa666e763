/**
 * Matrices in 8 or 4 bits, in the layouts that onnxruntime's kernels read. A sampler decodes from them: a token costs
 * one pass over all weights, so fewer bytes are more tokens. Training never sees them.
 */

/**
 * What a sampler multiplies with. `int8` and `int4`: weights and activations in blocks of a row, each with its scale
 * (as ggml's Q8_0 and Q4_0 do). `dynamic_int8`: one scale a row of weights and one a row of activations; faster where
 * many rows are decoded together, and further from the exact model where single channels are large.
 */
export const samplerPrecisions = ["float32", "int8", "int4", "dynamic_int8"] as const
export type SamplerPrecision = (typeof samplerPrecisions)[number]
export type QuantizedPrecision = Exclude<SamplerPrecision, "float32">

/** Parameters from which on fewer bits are faster. */
const large = 50_000_000

/** What `auto` takes: int8 where the weights stay as they are, the CPU decodes, and the model is large enough to gain. */
export const autoPrecision = (parameters: number, frozen: boolean, device: string): SamplerPrecision =>
  frozen && device === "cpu" && parameters >= large ? "int8" : "float32"

/** Of MatMulNBits: values of a row that share a scale. */
export const blockFormats = { int8: { bits: 8, block: 32 }, int4: { bits: 4, block: 32 } } as const

/** A quantized matrix [rows, width]: values as they are stored, beside the scales that make them numbers again. */
export interface QuantizedMatrix {
  readonly values: Uint8Array
  readonly scales: Float32Array
}

export const blocksOf = (width: number, block: number): number => Math.ceil(width / block)

/** Axes of what is stored: [rows, blocks, bytes of a block] and [rows, blocks]; `dynamic_int8` [width, rows] and [rows]. */
export const quantizedShapes = (precision: QuantizedPrecision, rows: number, width: number) => {
  if (precision === "dynamic_int8") return { values: [width, rows], scales: [rows] }
  const { bits, block } = blockFormats[precision]
  const blocks = blocksOf(width, block)
  return { values: [rows, blocks, block * bits / 8], scales: [rows, blocks] }
}

/**
 * Rows of a matrix, symmetric about zero: value = (stored - zero point) * scale, the zero point 128 or 8. The last block
 * of a row is filled up with zeros.
 *
 * int8: scale = max|w| / 127. int4: the value furthest from zero becomes -8 (ggml's Q4_0), so all 16 steps are used.
 * dynamic_int8: scale = max|w| / 127 of the whole row, and the result is transposed.
 *
 * @param weights [rows, width], row-major
 */
export const quantizeRows = (
  precision: QuantizedPrecision,
  weights: Float32Array,
  rows: number,
  width: number
): QuantizedMatrix => {
  const shapes = quantizedShapes(precision, rows, width)
  const values = new Uint8Array(shapes.values.reduce((n, m) => n * m, 1))
  const scales = new Float32Array(shapes.scales.reduce((n, m) => n * m, 1))
  if (precision === "dynamic_int8") {
    for (let row = 0; row < rows; row++) {
      const from = row * width
      const scale = scales[row] = Math.abs(furthest(weights, from, from + width)) / 127
      const inverse = scale === 0 ? 0 : 1 / scale
      for (let i = 0; i < width; i++) values[i * rows + row] = Math.round(weights[from + i]! * inverse) + 128
    }
    return { values, scales }
  }
  const { bits, block } = blockFormats[precision]
  const blocks = blocksOf(width, block)
  for (let b = 0; b < rows * blocks; b++) {
    const from = Math.floor(b / blocks) * width + (b % blocks) * block
    const to = Math.min(from + block, (Math.floor(b / blocks) + 1) * width)
    const extreme = furthest(weights, from, to)
    const scale = scales[b] = bits === 8 ? Math.abs(extreme) / 127 : extreme / -8
    const inverse = scale === 0 ? 0 : 1 / scale
    if (bits === 8) {
      const at = b * block
      values.fill(128, at + to - from, at + block)
      for (let i = from; i < to; i++) values[at + i - from] = Math.round(weights[i]! * inverse) + 128
    } else {
      const at = b * block / 2
      values.fill(0x88, at, at + block / 2)
      for (let i = from; i < to; i++) {
        const step = Math.min(15, Math.round(weights[i]! * inverse) + 8)
        const byte = at + ((i - from) >> 1)
        values[byte] = (i - from) & 1 ? (values[byte]! & 0x0f) | (step << 4) : (values[byte]! & 0xf0) | step
      }
    }
  }
  return { values, scales }
}

/** The value of largest magnitude, its sign kept; 0 of none. */
const furthest = (x: Float32Array, from: number, to: number): number => {
  let extreme = 0
  for (let i = from; i < to; i++) if (Math.abs(x[i]!) > Math.abs(extreme)) extreme = x[i]!
  return extreme
}
