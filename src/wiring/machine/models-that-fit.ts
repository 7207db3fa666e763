/** Which models fit into memory, by the estimates that a run itself is held to (src/engine/training/memory.ts). */
import { parameterCount, planTrainer, samplerBytes } from "../../engine/training/memory.ts"
import { autoPrecision, type SamplerPrecision } from "../../engine/weights/quantization.ts"
import { allLinear, type DecoderConfig } from "../../engine/nets/transformer.ts"

type Shape = Pick<DecoderConfig, "hidden" | "intermediate" | "layers" | "heads" | "kvHeads" | "headDim">

/** Settings that the estimates ignore are the same for all models. */
const model = (family: DecoderConfig["family"], vocab: number, maxPositions: number) => (shape: Shape): DecoderConfig => ({
  ...shape,
  family,
  vocab,
  maxPositions,
  queryScalar: shape.headDim,
  normEpsilon: 1e-6,
  ropeTheta: 1e6,
  ropeScaling: undefined,
  sliding: undefined,
  tied: true
})
const smolLm2 = model("llama", 49_152, 8192)
const qwen2 = model("qwen2", 151_936, 32_768)
const qwen3 = model("qwen3", 151_936, 40_960)

/** Shapes of published checkpoints, from their config.json. */
export const published: Readonly<Record<string, DecoderConfig>> = {
  "SmolLM2-135M": smolLm2({ hidden: 576, intermediate: 1536, layers: 30, heads: 9, kvHeads: 3, headDim: 64 }),
  "SmolLM2-360M": smolLm2({ hidden: 960, intermediate: 2560, layers: 32, heads: 15, kvHeads: 5, headDim: 64 }),
  "Qwen2.5-0.5B": qwen2({ hidden: 896, intermediate: 4864, layers: 24, heads: 14, kvHeads: 2, headDim: 64 }),
  "Qwen3-0.6B": qwen3({ hidden: 1024, intermediate: 3072, layers: 28, heads: 16, kvHeads: 8, headDim: 128 }),
  "Qwen2.5-1.5B": qwen2({ hidden: 1536, intermediate: 8960, layers: 28, heads: 12, kvHeads: 2, headDim: 128 }),
  "Qwen3-1.7B": qwen3({ hidden: 2048, intermediate: 6144, layers: 28, heads: 16, kvHeads: 8, headDim: 128 })
}

export interface Fit {
  readonly model: string
  /** Tokens. */
  readonly maxLength: number
  /** The default sampler_precision. */
  readonly precision: SamplerPrecision
  /** Bytes of a sampler that decodes one sequence at a time. */
  readonly samplerBytes: number
  /** Bytes of a LoRA trainer with the largest runs that fit, or with the smallest that it can make. */
  readonly trainerBytes: number
  /** It fits only with gradient checkpointing, or not at all. */
  readonly gradientCheckpointing: boolean
  readonly samples: boolean
  /** Whether both fit at once, as a run needs. */
  readonly trains: boolean
  /** The most candidates that a run decodes together, in half of what its trainer leaves; 0 if it does not fit. */
  readonly maxNumSeqs: number
}

export interface FitOptions {
  readonly r: number
  /** Padded tokens wanted in one run of the trainer. */
  readonly tokensPerRun: number
  /** Candidates a prompt; they must fit into one run. */
  readonly k: number
  readonly lengths: ReadonlyArray<number>
  /** The device that large models run on. */
  readonly device: string
}

/** One row for each model and length. A length over a model's own maximum becomes that maximum. */
export const fits = (
  models: Readonly<Record<string, DecoderConfig>>,
  { device, k, lengths, r, tokensPerRun }: FitOptions,
  freeBytes: number
): ReadonlyArray<Fit> =>
  Object.entries(models).flatMap(([model, config]) =>
    [...new Set(lengths.map((length) => Math.min(length, config.maxPositions)))].map((maxLength): Fit => {
      const precision = autoPrecision(parameterCount(config), true, device, k)
      const sampler = (rows: number) => samplerBytes(config, rows, maxLength, precision)
      const lora = { r, alpha: 2 * r, targets: allLinear }
      const wanted = { tokens: tokensPerRun, length: maxLength, group: k, checkpointing: false }
      const { bytes: trainer, checkpointing } = planTrainer(config, lora, wanted, freeBytes - 2 * sampler(1))
      const trains = trainer + sampler(1) <= freeBytes
      const together = ((freeBytes - trainer) / 2 - sampler(0)) / (sampler(1) - sampler(0))
      return {
        model,
        maxLength,
        precision,
        samplerBytes: sampler(1),
        trainerBytes: trainer,
        gradientCheckpointing: checkpointing,
        samples: sampler(1) <= freeBytes,
        trains,
        maxNumSeqs: trains ? Math.max(1, Math.floor(together)) : 0
      }
    })
  )
