/**
 * Matrices in 8 or 4 bits, in the layouts that onnxruntime's kernels read. A sampler decodes with them: a token costs
 * one pass over all weights, so fewer bytes mean more tokens. Training never uses them.
 */

/**
 * The formats a sampler multiplies with. `int8` and `int4`: weights and activations in blocks of a row, each with its
 * scale (like ggml's Q8_0 and Q4_0). `dynamic_int8`: one scale for each row of weights and each row of activations;
 * much faster if many rows are multiplied together, and a little further from the exact model.
 */
export const samplerPrecisions = ["float32", "int8", "int4", "dynamic_int8"] as const
export type SamplerPrecision = (typeof samplerPrecisions)[number]
export type QuantizedPrecision = Exclude<SamplerPrecision, "float32">

/** From this many parameters on, fewer bits are faster. */
const large = 50_000_000

/**
 * What `auto` takes: 8 bits if the weights do not change, the CPU decodes, and the model is large enough to gain.
 *
 * @param rows most sequences decoded together
 */
export const autoPrecision = (parameters: number, frozen: boolean, device: string, rows: number): SamplerPrecision =>
  !frozen || device !== "cpu" || parameters < large ? "float32" : rows === 1 ? "int8" : "dynamic_int8"

/** For MatMulNBits: how many values of a row share a scale. */
export const blockFormats = { int8: { bits: 8, block: 32 }, int4: { bits: 4, block: 32 } } as const

/** Most values of a row that are rotated together. */
const rotatedTogether = 128

/**
 * x Wᵀ = (x H) (W H)ᵀ for an orthogonal H. The Hadamard matrix spreads a large value in a single channel evenly over
 * its neighbours, so that 8 bits hold all of them (QuaRot, Ashkboos et al. 2024, arXiv:2404.00456; here in parts of a
 * row, before every matrix, with nothing folded into the matrix before). It pays if a whole row shares a scale: on
 * SmolLM2-135M it reduces the gap from .158 to .034 nats a token. With blocks the gap is .018, and .013 with rotation,
 * with 8 bits, for about 6 % of a token's time by the profile. With 4 bits it gains nothing: their error is the
 * weights'.
 *
 * @returns length of a part: a power of two that divides the width; 1 if nothing is rotated
 */
export const rotationSize = (precision: QuantizedPrecision, width: number): number => {
  let size = 1
  if (precision === "dynamic_int8") while (size < rotatedTogether && width % (2 * size) === 0) size *= 2
  return size
}

/** H of Sylvester's construction, [size, size], symmetric and orthogonal. */
export const hadamard = (size: number): ReadonlyArray<number> =>
  [...rotate(Float32Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0)), size)]

/** Multiplies each part of `size` values by H, with the fast Walsh-Hadamard transform. Exact for a size of 1. */
export const rotate = (x: Float32Array, size: number): Float32Array => {
  const y = x.map((value) => value / Math.sqrt(size))
  for (let half = 1; half < size; half *= 2) {
    for (let from = 0; from < y.length; from += 2 * half) {
      for (let i = from; i < from + half; i++) {
        const [a, b] = [y[i]!, y[i + half]!]
        y[i] = a + b
        y[i + half] = a - b
      }
    }
  }
  return y
}

/** A quantized matrix [rows, width]: the stored values, and the scales that turn them back into numbers. */
export interface QuantizedMatrix {
  readonly values: Uint8Array
  readonly scales: Float32Array
}

const blocksOf = (width: number, block: number): number => Math.ceil(width / block)

/**
 * Shapes of the stored values and scales: [rows, blocks, bytes of a block] and [rows, blocks]; for `dynamic_int8`
 * [width, rows] and [rows].
 */
export const quantizedShapes = (precision: QuantizedPrecision, rows: number, width: number) => {
  if (precision === "dynamic_int8") return { values: [width, rows], scales: [rows] }
  const { bits, block } = blockFormats[precision]
  const blocks = blocksOf(width, block)
  return { values: [rows, blocks, block * bits / 8], scales: [rows, blocks] }
}

/**
 * Quantizes rows of a matrix, symmetric about zero: value = (stored - zero point) * scale, with zero point 128 or 8.
 * The last block of a row is filled with zeros.
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

/** The value of largest magnitude, with its sign; 0 if there are no values. */
const furthest = (x: Float32Array, from: number, to: number): number => {
  let extreme = 0
  for (let i = from; i < to; i++) if (Math.abs(x[i]!) > Math.abs(extreme)) extreme = x[i]!
  return extreme
}
