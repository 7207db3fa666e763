/** Estimates of what a session will need, in bytes: rough, on the safe side, made before anything is allocated. */
import type { LoraConfig } from "./parameters.ts"
import { sizeOf } from "./tensor.ts"
import { type DecoderConfig, modulesOf, parameterShapes, traits } from "./transformer.ts"

export const parameterCount = (c: DecoderConfig): number =>
  [...parameterShapes(c).values()].reduce((n, shape) => n + sizeOf(shape), 0)

const trainableCount = (c: DecoderConfig, lora: LoraConfig | undefined): number =>
  lora === undefined
    ? parameterCount(c)
    : modulesOf(c).filter(({ module }) => lora.targets.includes(module.slice(module.lastIndexOf(".") + 1)))
      .reduce((n, { in: width, out }) => n + lora.r * (width + out), 0)

/** Weights folded to float32 and once more prepacked, and the caches of `rows` sequences of `length` tokens. */
export const samplerBytes = (c: DecoderConfig, rows: number, length: number): number =>
  2 * 4 * parameterCount(c) + 3 * 4 * rows * c.layers * 2 * c.kvHeads * c.headDim * length + 4 * rows * c.vocab * 3

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
  const { activation, postNorms } = traits[c.family]
  const outer = postNorms ? 18 : 14
  const inner = activation === "silu" ? 6 : 9
  const layer = outer * c.hidden + inner * c.intermediate + 4 * c.heads * c.headDim + 3 * c.heads * length
  return 4 * (2 * parameterCount(c) + 4 * trainableCount(c, lora) + tokens * (c.layers * layer + 4 * c.vocab))
}
