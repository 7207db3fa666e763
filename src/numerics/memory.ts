/** Estimates of what a session will need, in bytes: on the safe side, made before anything is allocated. */
import { gradients } from "./gradients.ts"
import { Graph } from "./graph.ts"
import { peakBytes } from "./liveness.ts"
import type { LoraConfig, WeightIndex } from "./parameters.ts"
import { sizeOf } from "./tensor.ts"
import { type DecoderConfig, forward, modulesOf, parameterShapes } from "./transformer.ts"

export const parameterCount = (c: DecoderConfig): number =>
  [...parameterShapes(c).values()].reduce((n, shape) => n + sizeOf(shape), 0)

/** A small model trains faster from prepared weights; those of a large one would not fit beside its activations. */
export const isSmall = (c: DecoderConfig): boolean => parameterCount(c) < 50_000_000

const trainableCount = (c: DecoderConfig, lora: LoraConfig | undefined): number =>
  lora === undefined
    ? parameterCount(c)
    : modulesOf(c).filter(({ module }) => lora.targets.includes(module.slice(module.lastIndexOf(".") + 1)))
      .reduce((n, { in: width, out }) => n + lora.r * (width + out), 0)

/** Weights folded to float32 and once more prepacked, and the caches of `rows` sequences of `length` tokens. */
export const samplerBytes = (c: DecoderConfig, rows: number, length: number): number =>
  2 * 4 * parameterCount(c) + 3 * 4 * rows * c.layers * 2 * c.kvHeads * c.headDim * length + 4 * rows * c.vocab * 3

/** What a trainer needs beside what grows with the model, bytes: the thread, onnxruntime, the encoded graph. */
const trainerBase = 100e6

/** A run's buffers as they lie in onnxruntime's arena, beside their sum at the fullest moment. */
const arenaSlack = 1.25

/** Copies of the trained parameters at the fullest moment: themselves, two moments, gradients of a run and of the step, what is handed on. */
const trainableCopies = 8

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
  checkpointing = false
): number => trainerMemory(c, lora, checkpointing)(tokens, length)

/** `trainerBytes` for many sizes of runs. */
const trainerMemory = (c: DecoderConfig, lora: LoraConfig | undefined, checkpointing: boolean) => {
  const weights = parameterCount(c) * (isSmall(c) ? 3 * 4 : 2)
  const fixed = trainerBase + weights + trainableCopies * 4 * trainableCount(c, lora)
  // Layers are alike: those of a deep model are counted from few.
  const [few, more] = [Math.min(4, c.layers - 1), Math.min(6, c.layers)]
  const [atFew, atMore] = [few, more].map((layers) => runBytes({ ...c, layers }, lora, checkpointing)) as [RunBytes, RunBytes]
  return (tokens: number, length: number): number => {
    const rows = Math.max(2, Math.floor(tokens / length))
    const base = atMore(rows, length)
    const run = more === c.layers ? base : base + (base - atFew(rows, length)) * (c.layers - more) / (more - few)
    return fixed + arenaSlack * run
  }
}

/** The fullest moment of a run over `rows` sequences of `length` tokens, all of them trained. */
type RunBytes = (rows: number, length: number) => number

const runBytes = (c: DecoderConfig, lora: LoraConfig | undefined, checkpointing: boolean): RunBytes => {
  const g = new Graph()
  const index: WeightIndex = new Map(
    [...parameterShapes(c)].map(([name, shape]) => [name, { dtype: "BF16", shape, offset: 0, length: 2 * sizeOf(shape), file: "" }])
  )
  // The plainest loss, and no angles: neither counts.
  const { logps, stream } = forward(g, c, { index, trainable: lora === undefined ? "all" : "none", lora }, 1, true)
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
    return peak({ batch: rows, time: length, group_time: group * length, batch_time: tokens, packed: tokens, token: tokens })
  }
}

export interface TrainerRuns {
  /** Tokens of one forward and backward run. */
  readonly tokens: number
  /** Tokens of the longest sequence. */
  readonly length: number
  /** Most sequences that pairs join, and that must so be in one run. */
  readonly group: number
  readonly checkpointing: boolean
}

/**
 * How a trainer fits into `budget` bytes: in the runs that are wanted; else in smaller ones, which cost little time; else
 * with gradient checkpointing, which costs a quarter more. Where nothing fits, the leanest way.
 */
export const planTrainer = (
  c: DecoderConfig,
  lora: LoraConfig | undefined,
  wanted: TrainerRuns,
  budget: number
): TrainerRuns & { readonly bytes: number } => {
  const least = wanted.group * wanted.length
  const sizes: Array<number> = []
  for (let tokens = Math.max(wanted.tokens, least); tokens > least; tokens = Math.floor(tokens / 2)) sizes.push(tokens)
  sizes.push(least)
  let plan: (TrainerRuns & { readonly bytes: number }) | undefined
  for (const checkpointing of wanted.checkpointing ? [true] : [false, true]) {
    const bytes = trainerMemory(c, lora, checkpointing)
    for (const tokens of sizes) {
      plan = { ...wanted, tokens, checkpointing, bytes: bytes(tokens, wanted.length) }
      if (plan.bytes <= budget) return plan
    }
  }
  return plan!
}
