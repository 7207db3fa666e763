/** Estimates of what a session will need, in bytes: rough, on the safe side, made before anything is allocated. */
import { factorsOf, type LoraConfig } from "./parameters.ts"
import type { SamplerPrecision } from "./quantization.ts"
import { sizeOf } from "./tensor.ts"
import { type DecoderConfig, modulesOf, parameterShapes, traits } from "./transformer.ts"

export const parameterCount = (c: DecoderConfig): number =>
  [...parameterShapes(c).values()].reduce((n, shape) => n + sizeOf(shape), 0)

const trainableCount = (c: DecoderConfig, lora: LoraConfig | undefined): number =>
  lora === undefined
    ? parameterCount(c)
    : modulesOf(c).reduce((n, { in: width, module, out }) => n + (factorsOf(lora, module)?.r ?? 0) * (width + out), 0)

/** Bytes of a parameter: in its file, and as a kernel has it prepacked; with what a block's scale adds. */
const samplerWidth: Readonly<Record<SamplerPrecision, number>> = { float32: 8, int8: 2.1, int4: 1.3, dynamic_int8: 2.1 }

/**
 * Weights, the caches of `rows` sequences of `length` tokens with what growing them takes, and the scores of their next
 * tokens; in few bits also the input table.
 */
export const samplerBytes = (c: DecoderConfig, rows: number, length: number, precision: SamplerPrecision): number =>
  samplerWidth[precision] * parameterCount(c) + (precision === "float32" ? 0 : 4 * c.vocab * c.hidden) +
  1.5 * 4 * rows * c.layers * 2 * c.kvHeads * c.headDim * length + 3 * 4 * rows * c.vocab

/**
 * One forward and backward run over `tokens` padded tokens in sequences of `length`: every intermediate of a layer is
 * kept for the backward pass (about 14 vectors of the hidden width, 6 of the inner one, more with post-norms and GELU,
 * and the attention scores three times), logits and their gradients four times, parameters, gradients and both moments.
 */
export const trainerBytes = (
  c: DecoderConfig,
  lora: LoraConfig | undefined,
  tokens: number,
  length: number
): number => {
  const layers = tokens * c.layers * layerWidth(c, length)
  return 4 * (2 * parameterCount(c) + 4 * trainableCount(c, lora) + layers + 4 * tokens * c.vocab)
}

/** One forward run: a layer's intermediates, which the next one's take the place of; parameters; logits three times. */
export const scorerBytes = (c: DecoderConfig, lora: LoraConfig | undefined, tokens: number, length: number): number => {
  const adapter = lora === undefined ? 0 : trainableCount(c, lora)
  return 4 * (2 * parameterCount(c) + adapter + tokens * (2 * layerWidth(c, length) + 3 * c.vocab))
}

/** Values that a layer computes for a token. */
const layerWidth = (c: DecoderConfig, length: number): number => {
  const { activation, postNorms } = traits[c.family]
  const outer = postNorms ? 18 : 14
  const inner = activation === "silu" ? 6 : 9
  return outer * c.hidden + inner * c.intermediate + 4 * c.heads * c.headDim + 3 * c.heads * length
}
