/** What decoding takes of the machine: places for sequences, and weights in the form that is asked for. */
import { Effect } from "effect"
import type { SamplerPrecision } from "../../src/engine/weights/quantization.ts"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import { type QuantizeOptions, quantizedWeights } from "../../src/model/quantized-weights.ts"
import { OnnxRuntime } from "./runtime.ts"

export interface DecodingNeeds {
  readonly checkpoint: DecoderCheckpoint
  /** Most sequences decoded together. */
  readonly maxNumSeqs: number
  readonly precision: SamplerPrecision
  /** Where quantized weights are kept. */
  readonly cache: string
  /** Shows the progress of quantizing. */
  readonly quantizing: QuantizeOptions["progress"]
}

/**
 * Reserves memory for as many sequences as fit into half of what is left, and gives their number; `quantized` is undefined in
 * float32. Fails with `NotEnoughMemory` before anything is allocated, with `FileProblem` if quantized weights cannot be kept.
 *
 * @param what for people
 * @param bytes that so many sequences take, weights included
 */
export const reserveDecoding = Effect.fnUntraced(function*(what: string, needs: DecodingNeeds, bytes: (rows: number) => number) {
  const runtime = yield* OnnxRuntime
  const half = (yield* runtime.left) / 2
  let maxNumSeqs = needs.maxNumSeqs
  while (maxNumSeqs > 1 && bytes(maxNumSeqs) > half) maxNumSeqs = Math.ceil(maxNumSeqs / 2)
  yield* runtime.reserve(what, bytes(maxNumSeqs))
  const { cache, checkpoint, precision, quantizing } = needs
  const quantized = precision === "float32" ? undefined : yield* quantizedWeights(checkpoint, { precision, cache, progress: quantizing })
  return { maxNumSeqs, quantized }
})
