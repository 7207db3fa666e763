/** Estimates of the bytes a session will need: on the safe side, made before anything is allocated. */
import { gradients } from "../graph/gradients.ts"
import { Graph } from "../graph/graph.ts"
import { peakBytes } from "../graph/liveness.ts"
import { factorsOf, type LoraConfig, type WeightIndex } from "../weights/parameters.ts"
import type { SamplerPrecision } from "../weights/quantization.ts"
import { sizeOf } from "../weights/tensor.ts"
import { type DecoderConfig, forward, modulesOf, parameterShapes, traits } from "../nets/transformer.ts"

export const parameterCount = (c: DecoderConfig): number =>
  [...parameterShapes(c).values()].reduce((n, shape) => n + sizeOf(shape), 0)

/**
 * A small model trains faster from prepared weights; a large model's prepared weights would not fit beside its
 * activations.
 */
export const isSmall = (c: DecoderConfig): boolean => parameterCount(c) < 50_000_000

const trainableCount = (c: DecoderConfig, lora: LoraConfig | undefined): number =>
  lora === undefined
    ? parameterCount(c)
    : modulesOf(c).reduce((n, { in: width, module, out }) => n + (factorsOf(lora, module)?.r ?? 0) * (width + out), 0)

/** Bytes of a parameter, in its file and prepacked for a kernel, including a block's scale. */
const samplerWidth: Readonly<Record<SamplerPrecision, number>> = { float32: 8, int8: 2.1, int4: 1.3, dynamic_int8: 2.1 }

/**
 * Weights, the caches of `rows` sequences of `length` tokens with what growing them takes, and the scores after the `read` tokens that
 * a run reads of each; in few bits also the input table.
 */
export const samplerBytes = (c: DecoderConfig, rows: number, length: number, precision: SamplerPrecision, read = 1): number =>
  samplerWidth[precision] * parameterCount(c) + (precision === "float32" ? 0 : 4 * c.vocab * c.hidden) +
  1.5 * 4 * rows * c.layers * 2 * c.kvHeads * c.headDim * length + 3 * 4 * rows * read * c.vocab

/** What a trainer needs beside what grows with the model, bytes: the thread, onnxruntime, the encoded graph. */
const trainerBase = 150e6

/** A run's buffers as they lie in onnxruntime's arena, beside their sum at the fullest moment. */
const arenaSlack = 1.27

/** Bytes an entry of the vocabulary's table that the arena keeps of its slices. */
const vocabularySlack = 3.5

/** Copies of the trained parameters at the fullest moment: themselves, two moments, gradients of a run and of the step, what is handed on. */
const trainableCopies = 8

/** The reference's parameters where they move: themselves, and a copy that is handed on with its encoding. */
const referenceCopies = 3

/** What a trainer computes or keeps beside what every one does. */
export interface TrainerExtras {
  /** The reference's parameters are kept in memory, because they move. */
  readonly movingReference?: boolean
  /** log Σ p² at each token of the policy. */
  readonly concentrations?: boolean
  /** A session that runs both models forward before an update. */
  readonly foresees?: boolean
}

/**
 * A step of a LoRA or full trainer whose runs have `tokens` tokens in sequences of `length`, a pair at least: the weights
 * in their file (prepared ones three times in float32), what a run computes at its fullest moment, and the trained
 * parameters.
 *
 * @param checkpointing gradient checkpointing
 */
export const trainerBytes = (
  c: DecoderConfig,
  lora: LoraConfig | undefined,
  tokens: number,
  length: number,
  checkpointing = false,
  extras: TrainerExtras = {}
): number => trainerMemory(c, lora, checkpointing, extras)(tokens, length)

/** `trainerBytes` for many sizes of runs. */
const trainerMemory = (c: DecoderConfig, lora: LoraConfig | undefined, checkpointing: boolean, extras: TrainerExtras) => {
  const weights = parameterCount(c) * (isSmall(c) ? 3 * 4 : 2) * (extras.foresees ? 2 : 1)
  const copies = trainableCopies + (extras.movingReference ? referenceCopies : 0)
  const fixed = trainerBase + weights + vocabularySlack * c.vocab * c.hidden + copies * 4 * trainableCount(c, lora)
  // Layers are alike: a deep model is estimated from few of them.
  const [few, more] = [Math.min(4, c.layers - 1), Math.min(6, c.layers)]
  const [atFew, atMore] = [few, more].map((layers) => runBytes({ ...c, layers }, lora, checkpointing, extras)) as [RunBytes, RunBytes]
  return (tokens: number, length: number): number => {
    const rows = Math.max(2, Math.floor(tokens / length))
    const base = atMore(rows, length)
    const run = more === c.layers ? base : base + (base - atFew(rows, length)) * (c.layers - more) / (more - few)
    return fixed + arenaSlack * run
  }
}

/** The fullest moment of a run over `rows` sequences of `length` tokens, all of them trained. */
type RunBytes = (rows: number, length: number) => number

const runBytes = (c: DecoderConfig, lora: LoraConfig | undefined, checkpointing: boolean, extras: TrainerExtras): RunBytes => {
  const g = new Graph()
  const index: WeightIndex = new Map(
    [...parameterShapes(c)].map(([name, shape]) => [name, { dtype: "BF16", shape, offset: 0, length: 2 * sizeOf(shape), file: "" }])
  )
  // The simplest loss, and no angles: neither counts.
  const { concentrations, logps, stream } = forward(g, c, { index, trainable: lora === undefined ? "all" : "none", lora }, 1, true, extras.concentrations)
  if (concentrations !== undefined) g.output("concentrations", concentrations)
  const trained = g.inputs.filter(({ shape }) => shape.every((dim) => typeof dim === "number"))
  const reference = forward(g, c, { index, trainable: "none", lora: undefined }, 1, false).logps
  const loss = g.sum(g.sub(logps, reference), [0], true)
  g.output("loss", loss)
  gradients(g, loss, g.constant([1], [1]), trained, checkpointing ? stream : []).forEach((dx, i) =>
    g.output(`grad.${trained[i]!.name}`, dx!)
  )
  const peak = peakBytes(g)
  return (rows, length) => {
    const tokens = rows * length
    const group = c.heads / c.kvHeads
    return peak({ batch: rows, time: length, group_time: group * length, batch_time: tokens, packed: tokens, token: tokens, sequence: rows })
  }
}

export interface TrainerRuns {
  /** Tokens of one forward and backward run. */
  readonly tokens: number
  /** Tokens of the longest sequence. */
  readonly length: number
  /** The most sequences that pairs join; they must be in one run. */
  readonly group: number
  readonly checkpointing: boolean
}

/**
 * How a trainer fits into `budget` bytes: with the wanted runs; else with smaller ones, which cost little time; else
 * with gradient checkpointing, which costs a quarter more. If nothing fits, the plan with the least memory.
 */
export const planTrainer = (
  c: DecoderConfig,
  lora: LoraConfig | undefined,
  wanted: TrainerRuns,
  budget: number,
  extras: TrainerExtras = {}
): TrainerRuns & { readonly bytes: number } => {
  const least = wanted.group * wanted.length
  const sizes: Array<number> = []
  for (let tokens = Math.max(wanted.tokens, least); tokens > least; tokens = Math.floor(tokens / 2)) sizes.push(tokens)
  sizes.push(least)
  let plan: (TrainerRuns & { readonly bytes: number }) | undefined
  for (const checkpointing of wanted.checkpointing ? [true] : [false, true]) {
    const bytes = trainerMemory(c, lora, checkpointing, extras)
    for (const tokens of sizes) {
      plan = { ...wanted, tokens, checkpointing, bytes: bytes(tokens, wanted.length) }
      if (plan.bytes <= budget) return plan
    }
  }
  return plan!
}

/** One forward run: a layer's intermediates, which the next layer's replace; parameters; logits three times. */
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
