/**
 * The trainer: forward and backward graphs, gradient accumulation, AdamW. Plain promises, no Effect: it lives in a
 * worker thread (layers/onnx/runtime.ts) and owns its sessions, its parameters and the optimizer state.
 */
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import {
  adamwStep,
  type AdamWState,
  clipGradients,
  initialState,
  schedule,
  type SchedulerType
} from "../../src/engine/training/adamw.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph, type Value } from "../../src/engine/graph/graph.ts"
import { labelWeights, type PreferenceLoss, preferenceLoss, sumBySequence } from "../../src/objectives/losses.ts"
import { isSmall } from "../../src/engine/training/memory.ts"
import type { LoraConfig, Weights } from "../../src/engine/weights/parameters.ts"
import { copyParameters, type Parameters } from "../../src/engine/weights/tensor.ts"
import { forward } from "../../src/engine/nets/transformer.ts"
import { completionLength, microBatches, paddingShare, type Sequence, sequenceFeeds, truncated } from "./sequences.ts"
import { createSession, type Device, type Feed, type Feeds, feedsOf, float32, int64, type Session, Sessions } from "./session.ts"

export interface TrainerOptions {
  readonly learningRate: number
  readonly schedulerType: SchedulerType
  readonly warmupSteps: number
  /** Updates the schedule is stretched over. */
  readonly totalSteps: number
  /** 0 clips nothing. */
  readonly maxGradNorm: number
  readonly weightDecay: number
  readonly adamBeta1: number
  readonly adamBeta2: number
  readonly adamEpsilon: number
  /** Longest sequence, tokens; longer ones lose their end. */
  readonly maxLength: number
  /** Padded tokens of one forward and backward run; larger batches are accumulated. */
  readonly tokensPerRun: number
  /** Keeps only what enters each layer for the backward pass, which computes the rest again: less memory, more time. */
  readonly gradientCheckpointing: boolean
}

export interface TrainerSpec {
  readonly checkpoint: DecoderCheckpoint
  /** Undefined: every parameter is trained. */
  readonly lora: LoraConfig | undefined
  /** The trainable parameters to start from. */
  readonly parameters: Parameters
  /** An adapter that the reference has on; undefined: the reference is the checkpoint alone. */
  readonly reference?: Parameters | undefined
  readonly state?: AdamWState
  readonly loss: PreferenceLoss
  readonly options: TrainerOptions
  readonly device: Device
  readonly threads: number
  readonly spinning?: boolean | undefined
}

/** Pairs by index into the sequences they share: a candidate in three pairs is computed once. */
export interface PreferenceBatch {
  readonly sequences: ReadonlyArray<Sequence>
  readonly pairs: ReadonlyArray<{
    readonly chosen: number
    readonly rejected: number
    /** Probability that chosen is the better one, [0.5, 1]. */
    readonly label: number
    readonly weight: number
  }>
}

export interface TrainerStep {
  readonly parameters: Parameters
  /** TRL's names. */
  readonly metrics: Record<string, number>
  /** AdamW's, after this step: where `state()` might have to wait too long, because a run takes seconds. */
  readonly moments?: Parameters | undefined
}

/** Milliseconds of a run after which a step hands over its state: an interrupted run has seconds to save it. */
const long = 1000

/** One run's share of a preference batch. */
type Part = PreferenceBatch

export class Trainer {
  readonly #spec: TrainerSpec
  readonly #parameters: Map<string, { shape: ReadonlyArray<number>; data: Float32Array }>
  readonly #state: AdamWState
  readonly #sessions = new Sessions((name: keyof typeof graphs) => this.#open(name))

  constructor(spec: TrainerSpec) {
    this.#spec = spec
    this.#parameters = copyParameters(spec.parameters)
    this.#state = spec.state ?? initialState()
  }

  /** The trainable parameters and AdamW's moments: copies. */
  state(): { parameters: Parameters; moments: Parameters; step: number } {
    return {
      parameters: copyParameters(this.#parameters),
      moments: copyParameters(this.#state.moments),
      step: this.#state.step
    }
  }

  /** Per-token log-probabilities of each completion, nats, under the policy or under the reference. */
  async logps(sequences: ReadonlyArray<Sequence>, reference: boolean): Promise<Array<Array<number>>> {
    const { checkpoint, options } = this.#spec
    const cut = sequences.map((s) => truncated(s, options.maxLength))
    const session = await this.#sessions.get(reference ? "reference" : "policy")
    const out: Array<Array<number>> = cut.map(() => [])
    const sized = (n: number) => ({ rows: 1, length: cut[n]!.ids.length })
    const scored = cut.flatMap((s, n) => (completionLength(s) > 0 ? [n] : []))
    for (const batch of microBatches(scored, sized, options.tokensPerRun)) {
      const feeds = sequenceFeeds(checkpoint.config, batch.map((n) => cut[n]!))
      const { logps } = await session.run({ ...feeds, ...this.#feeds() })
      const tokens = logps!.data as Float32Array
      let at = 0
      for (const n of batch) out[n] = Array.from(tokens.subarray(at, at += completionLength(cut[n]!)))
    }
    return out
  }

  /**
   * One update on weighted pairs: gradients of Σ weight · loss / Σ weight, accumulated over runs, clipped, AdamW.
   * When the loss or a gradient is not finite it throws, and parameters and optimizer state stay as they were.
   */
  async preferenceStep(batch: PreferenceBatch): Promise<TrainerStep> {
    const { checkpoint, loss, options } = this.#spec
    const sequences = batch.sequences.map((s) => truncated(s, options.maxLength))
    const total = batch.pairs.reduce((n, { weight }) => n + weight, 0)
    const session = await this.#sessions.get("preference")
    const accumulated = new Map<string, Float32Array>()
    const policy = new Float64Array(sequences.length)
    const reference = new Float64Array(sequences.length)
    let lossSum = 0
    let longest = 0
    const runs = parts({ ...batch, sequences }, options.tokensPerRun)
    for (const part of runs) {
      const own = part.sequences.map((s) => sequences.indexOf(s))
      const labels = part.pairs.map(({ label }) => labelWeights(loss, label))
      const began = performance.now()
      const out = await session.run({
        ...sequenceFeeds(checkpoint.config, part.sequences),
        ...this.#feeds(),
        lengths: float32([own.length], Float32Array.from(part.sequences, completionLength)),
        chosen: int64([part.pairs.length], part.pairs.map(({ chosen }) => chosen)),
        rejected: int64([part.pairs.length], part.pairs.map(({ rejected }) => rejected)),
        right: float32([part.pairs.length], Float32Array.from(labels, ({ right }) => right)),
        wrong: float32([part.pairs.length], Float32Array.from(labels, ({ wrong }) => wrong)),
        weights: float32([part.pairs.length], Float32Array.from(part.pairs, ({ weight }) => weight / total))
      })
      longest = Math.max(longest, performance.now() - began)
      lossSum += Number(out["loss"]!.data[0])
      own.forEach((n, i) => {
        policy[n] = Number(out["logps"]!.data[i])
        reference[n] = Number(out["reference"]!.data[i])
      })
      this.#accumulate(accumulated, out)
    }
    const update = this.#update(accumulated, lossSum)
    // A tie has no chosen side.
    const decided = batch.pairs.filter(({ label }) => label !== 0.5)
    const decidedWeight = decided.reduce((n, { weight }) => n + weight, 0)
    const mean = (name: string, f: (pair: PreferenceBatch["pairs"][number]) => number) =>
      decidedWeight === 0 ? {} : { [name]: decided.reduce((n, pair) => n + f(pair) * pair.weight, 0) / decidedWeight }
    const reward = (n: number) => loss.beta * (policy[n]! - reference[n]!)
    const used = [...new Set(batch.pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]))]
    return {
      parameters: copyParameters(this.#parameters),
      // Not where every weight is trained: the moments alone are twice the model.
      moments: longest < long || this.#spec.lora === undefined ? undefined : copyParameters(this.#state.moments),
      metrics: {
        loss: lossSum,
        ...mean("rewards/chosen", ({ chosen }) => reward(chosen)),
        ...mean("rewards/rejected", ({ rejected }) => reward(rejected)),
        ...mean("rewards/accuracies", ({ chosen, rejected }) => (reward(chosen) > reward(rejected) ? 1 : 0)),
        ...mean("rewards/margins", ({ chosen, rejected }) => reward(chosen) - reward(rejected)),
        ...mean("logps/chosen", ({ chosen }) => policy[chosen]!),
        ...mean("logps/rejected", ({ rejected }) => policy[rejected]!),
        "objective/kl": used.reduce((n, i) => n + policy[i]! - reference[i]!, 0) / used.length,
        num_tokens: used.reduce((n, i) => n + sequences[i]!.ids.length, 0),
        padding: paddingShare(checkpoint.config, runs.map((part) => part.sequences)),
        beta: loss.beta,
        ...update
      }
    }
  }

  /** One update on cross-entropy over completion tokens, mean over all tokens of the batch. */
  async crossEntropyStep(given: ReadonlyArray<Sequence>): Promise<TrainerStep["metrics"]> {
    const { checkpoint, options } = this.#spec
    const sequences = given.map((s) => truncated(s, options.maxLength)).filter((s) => completionLength(s) > 0)
    const tokens = sequences.reduce((n, s) => n + completionLength(s), 0)
    const session = await this.#sessions.get("crossEntropy")
    const accumulated = new Map<string, Float32Array>()
    let loss = 0
    const sized = (s: Sequence) => ({ rows: 1, length: s.ids.length })
    const runs = microBatches(sequences, sized, options.tokensPerRun)
    for (const batch of runs) {
      const out = await session.run({
        ...sequenceFeeds(checkpoint.config, batch),
        ...this.#feeds(),
        scale: float32([1], Float32Array.of(-1 / tokens))
      })
      loss += Number(out["loss"]!.data[0])
      this.#accumulate(accumulated, out)
    }
    const padding = paddingShare(checkpoint.config, runs)
    return { loss, num_tokens: tokens, padding, ...this.#update(accumulated, loss) }
  }

  release(): Promise<void> {
    return this.#sessions.release()
  }

  #feeds(): Feeds {
    return { ...feedsOf(this.#parameters), ...feedsOf(this.#spec.reference ?? new Map(), referencePrefix) }
  }

  #accumulate(into: Map<string, Float32Array>, out: Readonly<Record<string, Feed>>): void {
    for (const name of this.#parameters.keys()) {
      const part = out[`grad.${name}`]
      if (part === undefined) continue
      const data = part.data as Float32Array
      const known = into.get(name)
      if (known === undefined) into.set(name, data)
      else for (let i = 0; i < data.length; i++) known[i]! += data[i]!
    }
  }

  #update(accumulated: Map<string, Float32Array>, loss: number): Record<string, number> {
    const { options } = this.#spec
    const norm = clipGradients(accumulated, options.maxGradNorm)
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      throw new Error(`the loss is ${loss} and the gradient's norm ${norm}: lower the learning rate`)
    }
    const learningRate = options.learningRate *
      schedule(options.schedulerType, this.#state.step, options.warmupSteps, options.totalSteps)
    adamwStep(this.#parameters, accumulated, this.#state, {
      learningRate,
      beta1: options.adamBeta1,
      beta2: options.adamBeta2,
      epsilon: options.adamEpsilon,
      weightDecay: options.weightDecay
    })
    return { grad_norm: norm, learning_rate: learningRate }
  }

  #open(name: keyof typeof graphs): Promise<Session> {
    const { checkpoint, device, spinning, threads } = this.#spec
    return createSession(graphs[name](this.#spec), {
      device,
      spinning,
      threads,
      weights: isSmall(checkpoint.config) ? "prepared" : "mapped",
      weightsFolder: checkpoint.folder
    })
  }
}

/** Pairs that share a sequence stay together; the sequences of a part are numbered anew. */
const parts = (batch: PreferenceBatch, budget: number): Array<Part> => {
  const groupOf = batch.sequences.map((_, n) => n)
  const root = (n: number): number => (groupOf[n] === n ? n : (groupOf[n] = root(groupOf[n]!)))
  for (const { chosen, rejected } of batch.pairs) groupOf[root(chosen)] = root(rejected)
  const groups = new Map<number, Array<PreferenceBatch["pairs"][number]>>()
  for (const pair of batch.pairs) groups.set(root(pair.chosen), [...groups.get(root(pair.chosen)) ?? [], pair])
  const members = (pairs: ReadonlyArray<PreferenceBatch["pairs"][number]>) =>
    [...new Set(pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]))]
  const sized = (pairs: ReadonlyArray<PreferenceBatch["pairs"][number]>) => ({
    rows: members(pairs).length,
    length: Math.max(...members(pairs).map((n) => batch.sequences[n]!.ids.length))
  })
  return microBatches([...groups.values()], sized, budget).map((batches) => {
    const pairs = batches.flat()
    const used = members(pairs)
    return {
      sequences: used.map((n) => batch.sequences[n]!),
      pairs: pairs.map((pair) => ({ ...pair, chosen: used.indexOf(pair.chosen), rejected: used.indexOf(pair.rejected) }))
    }
  })
}

const trainableWeights = ({ checkpoint, lora }: TrainerSpec): Weights => ({
  index: checkpoint.index,
  trainable: lora === undefined ? "all" : "none",
  lora
})

/** What the names of a reference's adapter begin with, beside the policy's in one graph. */
const referencePrefix = "reference."

const referenceWeights = ({ checkpoint, lora, reference }: TrainerSpec): Weights => ({
  index: checkpoint.index,
  trainable: "none",
  lora: reference === undefined ? undefined : lora,
  inputPrefix: referencePrefix
})

const withGradients = (g: Graph, spec: TrainerSpec, loss: Value, stream: ReadonlyArray<Value>): Graph => {
  const wrt = g.inputs.filter(({ name }) => spec.parameters.has(name))
  const kept = spec.options.gradientCheckpointing ? stream : []
  gradients(g, loss, g.constant([1], [1]), wrt, kept).forEach((dx, i) => {
    if (dx !== undefined) g.output(`grad.${wrt[i]!.name}`, dx)
  })
  return g
}

const logpsOf = (g: Graph, { checkpoint, options }: TrainerSpec, weights: Weights, derivative: boolean) =>
  forward(g, checkpoint.config, weights, options.maxLength, derivative)

const scoring = (spec: TrainerSpec, weights: Weights): Graph => {
  const g = new Graph()
  g.output("logps", logpsOf(g, spec, weights, false).logps)
  return g
}

/** What the sessions of a trainer compute. */
export const graphs = {
  /** Asking a training session for less does not make it do less, so scoring has graphs of its own. */
  policy: (spec: TrainerSpec): Graph => scoring(spec, trainableWeights(spec)),
  reference: (spec: TrainerSpec): Graph => scoring(spec, referenceWeights(spec)),
  /** Policy and reference in one session: two would each map the weights, and each page would count twice. */
  preference: (spec: TrainerSpec): Graph => {
    const g = new Graph()
    const { logps: tokens, stream } = logpsOf(g, spec, trainableWeights(spec), true)
    const zeros = g.input("zeros", "float32", ["sequence"])
    const segments = g.input("segments", "int64", ["token"])
    const logps = sumBySequence(g, tokens, segments, zeros)
    const reference = sumBySequence(g, logpsOf(g, spec, referenceWeights(spec), false).logps, segments, zeros)
    const lengths = g.input("lengths", "float32", ["sequence"])
    const chosen = g.input("chosen", "int64", ["pair"])
    const rejected = g.input("rejected", "int64", ["pair"])
    const of = (x: Value, which: Value) => g.emit("Gather", [x, which])
    const loss_pair = preferenceLoss(g, spec.loss, {
      chosen: of(logps, chosen),
      rejected: of(logps, rejected),
      refChosen: of(reference, chosen),
      refRejected: of(reference, rejected),
      chosenLength: of(lengths, chosen),
      rejectedLength: of(lengths, rejected),
      right: g.input("right", "float32", ["pair"]),
      wrong: g.input("wrong", "float32", ["pair"])
    })
    const loss = g.sum(g.mul(loss_pair, g.input("weights", "float32", ["pair"])), [0], true)
    g.output("loss", loss)
    g.output("logps", logps)
    g.output("reference", reference)
    return withGradients(g, spec, loss, stream)
  },
  crossEntropy: (spec: TrainerSpec): Graph => {
    const g = new Graph()
    const { logps, stream } = logpsOf(g, spec, trainableWeights(spec), true)
    const loss = g.sum(g.mul(logps, g.input("scale", "float32", [1])), [0], true)
    g.output("loss", loss)
    return withGradients(g, spec, loss, stream)
  }
}
