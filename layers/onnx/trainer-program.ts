/**
 * The trainer: gradient accumulation and AdamW over its graphs (trainer-graphs.ts). Plain promises, no Effect: it lives in a
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
import { totalsOf } from "../../src/objectives/objective.ts"
import { type ChosenObjective, objectiveOf } from "../../src/objectives/objectives.ts"
import { isSmall } from "../../src/engine/training/memory.ts"
import { mix } from "../../src/engine/training/mix.ts"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import { copyParameters, type Parameters } from "../../src/engine/weights/tensor.ts"
import { completionLength, microBatches, paddingShare, type Sequence, sequenceFeeds, truncated } from "./sequences.ts"
import { objectiveFeeds, type PerToken } from "./objective-graph.ts"
import { createSession, type Device, type Feed, type Feeds, feedsOf, float32, type Session, Sessions } from "./session.ts"
import { type Batch, inParts, parts } from "./trainer-batches.ts"
import { graphs, referencePrefix } from "./trainer-graphs.ts"

export interface TrainerOptions {
  readonly learningRate: number
  readonly schedulerType: SchedulerType
  readonly warmupSteps: number
  /** Updates that the schedule covers. */
  readonly totalSteps: number
  /** 0 clips nothing. */
  readonly maxGradNorm: number
  readonly weightDecay: number
  readonly adamBeta1: number
  readonly adamBeta2: number
  readonly adamEpsilon: number
  /** Longest sequence, tokens; longer ones lose their end. */
  readonly maxLength: number
  /** Most padded tokens of one forward and backward run; larger batches are accumulated. */
  readonly tokensPerRun: number
  /** Keeps only each layer's input for the backward pass, which computes the rest again: less memory, more time. */
  readonly gradientCheckpointing: boolean
  /** Parts that a batch's examples are divided into, each with an update of its own; >= 1. Default 1. */
  readonly stepsPerGeneration?: number
  /** How often that is done with each batch, >= 1. Default 1. */
  readonly iterations?: number
  /** Undefined: the reference stays what it is. */
  readonly syncReference?: SyncReference | undefined
}

/**
 * After every update whose number is a multiple of `steps`, the reference's parameters become alpha times the policy's plus
 * 1 - alpha times their own (TR-DPO, Gorbatovski et al. 2024, arXiv:2404.09656; TRL's SyncRefModelCallback). An alpha of 1 copies
 * the policy. For an adapter only that is exact: a mixture of factors is not the mixture of their products.
 */
export interface SyncReference {
  /** (0, 1] */
  readonly alpha: number
  /** Updates, >= 1. */
  readonly steps: number
}

export interface TrainerSpec {
  readonly checkpoint: DecoderCheckpoint
  /** Undefined: every parameter is trained. */
  readonly lora: LoraConfig | undefined
  /** The trainable parameters to start from. */
  readonly parameters: Parameters
  /**
   * The reference's parameters of the same names, or its adapter; undefined: the reference is the checkpoint alone. A reference
   * that moves begins with them; if they are undefined, with `parameters`.
   */
  readonly reference?: Parameters | undefined
  /** Where a reference that moves is now; undefined: where it begins. */
  readonly movedReference?: Parameters | undefined
  readonly state?: AdamWState
  /** The learning rate is multiplied with it; default 1. */
  readonly rate?: number | undefined
  readonly objective: ChosenObjective
  readonly options: TrainerOptions
  readonly device: Device
  readonly threads: number
  readonly spinning?: boolean | undefined
}

/** The loss or its gradient is not a finite number: nothing was changed. */
export interface NotFinite {
  readonly notFinite: string
}

export interface TrainerStep {
  readonly parameters: Parameters
  /** TRL's names. */
  readonly metrics: Record<string, number>
  /** Updates that were made. */
  readonly updates: number
  /** AdamW's moments after this step; given if a later `state()` could wait too long, because a run takes seconds. */
  readonly moments?: Parameters | undefined
  /** The reference after this step, with the moments, if it moves. */
  readonly reference?: Parameters | undefined
}

/**
 * If a run takes longer than this, in milliseconds, the step hands over its state: an interrupted run has only seconds
 * to save it.
 */
const long = 1000

export class Trainer {
  readonly #spec: TrainerSpec
  readonly #parameters: Map<string, { shape: ReadonlyArray<number>; data: Float32Array }>
  /** The reference's, if it has any beside the checkpoint's; its numbers change where it moves. */
  readonly #reference: Parameters
  /** Where a reference that moves began. */
  readonly #first: Parameters
  #state: AdamWState
  #rate: number
  #steps = 0
  readonly #sessions = new Sessions((name: keyof typeof graphs) => this.#open(name))

  constructor(spec: TrainerSpec) {
    const { movedReference, options, parameters, reference } = spec
    const first = options.syncReference === undefined ? reference : reference ?? parameters
    this.#spec = { ...spec, reference: first }
    this.#parameters = copyParameters(parameters)
    this.#first = first ?? new Map()
    this.#reference = options.syncReference === undefined ? this.#first : copyParameters(movedReference ?? this.#first)
    this.#state = spec.state ?? initialState()
    this.#rate = spec.rate ?? 1
  }

  /**
   * The trainable parameters, AdamW's moments and a reference that moves: copies. `step`: updates; `steps`: batches since it was
   * made or restored.
   */
  state(): { parameters: Parameters; moments: Parameters; reference: Parameters | undefined; step: number; steps: number } {
    return {
      steps: this.#steps,
      reference: this.#moved(),
      parameters: copyParameters(this.#parameters),
      moments: copyParameters(this.#state.moments),
      step: this.#state.step
    }
  }

  /** Continues from other parameters of the same names, with their AdamW state and their reference: undefined is its beginning. */
  restore(
    { moments, parameters, rate, reference = this.#first, step }:
      { parameters: Parameters; moments: Parameters; reference?: Parameters | undefined; step: number; rate: number }
  ): void {
    for (const [name, { data }] of this.#parameters) data.set(parameters.get(name)!.data)
    if (this.#spec.options.syncReference !== undefined) for (const [name, { data }] of this.#reference) data.set(reference.get(name)!.data)
    this.#state = { step, moments: new Map(copyParameters(moments)) }
    this.#rate = rate
    this.#steps = 0
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
   * One update for each part of the batch, as often as `iterations` says: gradients of the objective's loss over the part,
   * accumulated over runs, clipped, AdamW. If a loss or a gradient is not finite it throws, and parameters and optimizer
   * state stay as they were.
   */
  async update(batch: Batch): Promise<TrainerStep["metrics"]> {
    const updated = await this.#update(batch)
    if ("notFinite" in updated) throw new Error(`${updated.notFinite}: lower the learning rate`)
    return updated.metrics
  }

  /** `update`, which also hands over the new parameters and, for long runs, the moments; and which does not throw. */
  async step(batch: Batch): Promise<TrainerStep | NotFinite> {
    const updated = await this.#update(batch)
    if ("notFinite" in updated) return updated
    const { longest, metrics, updates } = updated
    this.#steps++
    return {
      metrics,
      updates,
      parameters: copyParameters(this.#parameters),
      // Not if every weight is trained: the moments alone are twice the model.
      ...longest < long || this.#spec.lora === undefined ? {} : { moments: copyParameters(this.#state.moments), reference: this.#moved() }
    }
  }

  #moved(): Parameters | undefined {
    return this.#spec.options.syncReference === undefined ? undefined : copyParameters(this.#reference)
  }

  /** Moves the reference, if it is time. */
  #sync(): void {
    const sync = this.#spec.options.syncReference
    if (sync === undefined || this.#state.step % sync.steps !== 0) return
    for (const [name, { data }] of this.#parameters) mix(this.#reference.get(name)!.data, data, sync.alpha)
  }

  release(): Promise<void> {
    return this.#sessions.release()
  }

  async #update(batch: Batch): Promise<NotFinite | { readonly metrics: TrainerStep["metrics"]; readonly longest: number; readonly updates: number }> {
    const { iterations = 1, stepsPerGeneration = 1 } = this.#spec.options
    const divided = inParts(batch, stepsPerGeneration)
    const before = iterations * divided.length > 1 ? this.state() : undefined
    const all: Array<Updated> = []
    const old = new Map<Batch, PerToken>()
    for (let iteration = 0; iteration < iterations; iteration++) {
      for (const part of divided) {
        const updated = await this.#iterate(part, old.get(part))
        if ("notFinite" in updated) {
          if (before !== undefined) {
            this.restore({ ...before, rate: this.#rate })
            this.#steps = before.steps
          }
          return updated
        }
        if (iteration === 0) old.set(part, updated.tokens)
        all.push(updated)
      }
    }
    return {
      updates: all.length,
      longest: Math.max(...all.map(({ longest }) => longest)),
      metrics: all.length === 1 ? all[0]!.metrics : meansOf(all.map(({ metrics }) => metrics))
    }
  }

  /** @param old log-probabilities before the first update with this batch; undefined at the first */
  async #iterate(batch: Batch, old: PerToken | undefined): Promise<Updated | NotFinite> {
    const { checkpoint, objective: chosen, options } = this.#spec
    const objective = objectiveOf(chosen)
    const sequences = batch.sequences.map((s) => truncated(s, options.maxLength))
    const lengths = sequences.map(completionLength)
    const totals = totalsOf(batch.examples, lengths)
    const examples = objective.prepare === undefined
      ? batch.examples
      : objective.prepare(chosen, { examples: batch.examples, lengths, ...await this.#foresee(sequences) })
    const session = await this.#sessions.get("objective")
    const accumulated = new Map<string, Float32Array>()
    const policy = new Float64Array(sequences.length)
    const reference = new Float64Array(sequences.length)
    const tokens: Array<ReadonlyArray<number>> = sequences.map(() => [])
    const referenceTokens: Array<ReadonlyArray<number>> = sequences.map(() => [])
    const concentrations: Array<ReadonlyArray<number>> = sequences.map(() => [])
    let loss = 0
    let longest = 0
    const runs = parts({ examples, sequences }, options.tokensPerRun)
    for (const part of runs) {
      const began = performance.now()
      const own = part.sequences.map(completionLength)
      const out = await session.run({
        ...sequenceFeeds(checkpoint.config, part.sequences),
        ...this.#feeds(),
        lengths: float32([part.sequences.length], Float32Array.from(own)),
        ...objectiveFeeds(objective.feeds(chosen, {
          examples: part.examples,
          lengths: own,
          old: old && part.own.map((n) => old[n]!),
          batch: totals
        }))
      })
      longest = Math.max(longest, performance.now() - began)
      loss += Number(out["loss"]!.data[0])
      let at = 0
      part.own.forEach((n, i) => {
        policy[n] = Number(out["logps"]!.data[i])
        reference[n] = Number(out["reference"]?.data[i] ?? 0)
        const [from, to] = [at, at += own[i]!]
        const perToken = (name: string) => Array.from((out[name]?.data as Float32Array | undefined)?.subarray(from, to) ?? [])
        tokens[n] = perToken("tokens")
        referenceTokens[n] = perToken("reference_tokens")
        concentrations[n] = perToken("concentrations")
      })
      this.#accumulate(accumulated, out)
    }
    const updated = this.#apply(accumulated, loss)
    if ("notFinite" in updated) return updated
    this.#sync()
    const readsReference = objective.reference(chosen)
    return {
      longest,
      tokens,
      metrics: {
        loss,
        ...objective.metrics(chosen, {
          examples: batch.examples,
          policy,
          reference,
          lengths,
          tokens,
          old: old ?? tokens,
          referenceTokens: readsReference ? referenceTokens : undefined,
          concentrations: objective.concentrations?.(chosen) === true ? concentrations : undefined
        }),
        num_tokens: runs.flatMap((part) => part.sequences).reduce((n, { ids }) => n + ids.length, 0),
        padding: paddingShare(checkpoint.config, runs.map((part) => part.sequences)),
        ...updated
      }
    }
  }

  #feeds(): Feeds {
    return { ...feedsOf(this.#parameters), ...feedsOf(this.#reference, referencePrefix) }
  }

  /** Both models run forward, for a loss that must know the whole batch. */
  async #foresee(sequences: ReadonlyArray<Sequence>): Promise<{ readonly tokens: PerToken; readonly referenceTokens: PerToken }> {
    const { checkpoint, options } = this.#spec
    const session = await this.#sessions.get("both")
    const tokens: Array<ReadonlyArray<number>> = sequences.map(() => [])
    const referenceTokens: Array<ReadonlyArray<number>> = sequences.map(() => [])
    const sized = (n: number) => ({ rows: 1, length: sequences[n]!.ids.length })
    const scored = sequences.flatMap((sequence, n) => (completionLength(sequence) > 0 ? [n] : []))
    for (const run of microBatches(scored, sized, options.tokensPerRun)) {
      const out = await session.run({ ...sequenceFeeds(checkpoint.config, run.map((n) => sequences[n]!)), ...this.#feeds() })
      let at = 0
      for (const n of run) {
        const [from, to] = [at, at += completionLength(sequences[n]!)]
        tokens[n] = Array.from((out["logps"]!.data as Float32Array).subarray(from, to))
        referenceTokens[n] = Array.from((out["reference"]!.data as Float32Array).subarray(from, to))
      }
    }
    return { tokens, referenceTokens }
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

  #apply(accumulated: Map<string, Float32Array>, loss: number): NotFinite | { readonly grad_norm: number; readonly learning_rate: number } {
    const { options } = this.#spec
    const norm = clipGradients(accumulated, options.maxGradNorm)
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      return { notFinite: `the loss is ${loss} and the gradient's norm ${norm}` }
    }
    const learningRate = options.learningRate * this.#rate *
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

/** Means of what any of them has; tokens are a sum. */
export const meansOf = (all: ReadonlyArray<Readonly<Record<string, number>>>): Record<string, number> =>
  Object.fromEntries([...new Set(all.flatMap(Object.keys))].map((name) => {
    const own = all.flatMap((metrics) => metrics[name] ?? [])
    const sum = own.reduce((a, b) => a + b, 0)
    return [name, name === "num_tokens" ? sum : sum / own.length]
  }))

interface Updated {
  readonly metrics: TrainerStep["metrics"]
  /** Of the runs, milliseconds. */
  readonly longest: number
  /** Before the update. */
  readonly tokens: PerToken
}
