/**
 * The sampler: batched decoding with a key-value cache. Plain promises, no Effect: it lives in a worker thread
 * (layers/onnx/runtime.ts) and owns its sessions and caches.
 *
 * A prompt is read once for its K candidates. As many sequences are decoded together as the memory allows; when one has
 * ended, the next that waits takes its place (continuous batching, Yu et al. 2022, Orca, OSDI '22).
 */
import { createHash } from "node:crypto"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import type { Finish } from "../../src/domain.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { type LoraConfig, type QuantizedWeights, type Weights } from "../../src/engine/weights/parameters.ts"
import { isSmall } from "../../src/engine/training/memory.ts"
import { hash32 } from "../../src/engine/random.ts"
import { isPlain, type SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { decode, type Filters, prefill, verify } from "../../src/engine/sampling/decoding.ts"
import { Drafts } from "../../src/engine/sampling/drafts.ts"
import { forward } from "../../src/engine/nets/transformer.ts"
import { type Asked, DecodingBatch, Sequence, takeNext } from "./decoding-batch.ts"
import { sequenceFeeds } from "./sequences.ts"
import { createSession, type Device, feedsOf, type Session, Sessions } from "./session.ts"

export interface SamplerSpec {
  readonly checkpoint: DecoderCheckpoint
  /** Undefined: every parameter is fed at each run (full fine-tuning). */
  readonly lora: LoraConfig | undefined
  /** Undefined: the original weights, in float32. */
  readonly quantized?: QuantizedWeights | undefined
  /** Whether the gap to the original weights is measured. Default true. */
  readonly measureGap?: boolean
  /** Longest prompt and completion together, tokens. */
  readonly maxLength: number
  /** What the graphs can apply; other filters are applied in code. Default nothing. */
  readonly filters?: Filters
  /** Most sequences decoded together. */
  readonly maxNumSeqs: number
  /**
   * Whether candidates of a prompt share the reading of its keys and values. Default: if several are decoded, of a
   * large model.
   */
  readonly sharePrompts?: boolean | undefined
  /** Most tokens of a draft that are read with the last one drawn. Default 0: tokens are read one by one. */
  readonly draftTokens?: number | undefined
  /** Text of every token of the vocabulary, for the stop string. */
  readonly tokenTexts: ReadonlyArray<string>
  readonly device: Device
  readonly threads: number
  readonly spinning?: boolean | undefined
}

export interface SampleCall {
  /** Prompt tokens, chat template and prefill included; each with the seed of each of its K candidates. */
  readonly prompts: ReadonlyArray<{ readonly ids: ReadonlyArray<number>; readonly seeds: ReadonlyArray<number> }>
  /** The trainable parameters to draw from. */
  readonly parameters: Parameters
  readonly options: SamplingOptions
  readonly maxNewTokens: number
  /** Sampling ends after the token that completes this text. */
  readonly stop: string
  readonly eosIds: ReadonlyArray<number>
  /** How each answer begins. If given, an answer stops as soon as it can no longer become well-formed XML. */
  readonly wellFormedAfter?: string | undefined
  /** What drafts are made of. Without it they are empty. */
  readonly history?: DraftHistory | undefined
}

/** Earlier completions, newest first. */
export interface DraftHistory {
  /** Equal keys mean equal completions. */
  readonly key: number
  readonly completions: ReadonlyArray<ReadonlyArray<number>>
}

export interface Sampled {
  readonly ids: Array<number>
  /** log p of each token under the unfiltered policy at temperature 1, nats. */
  readonly logps: Array<number>
  /** log p of each under what it was drawn from, if temperature or filters make that another. */
  readonly drawnLogps?: ReadonlyArray<number>
  readonly finish: Finish
  /** Times that the model was run for it, its prompt included; absent if nothing is drafted, and that is once a token. */
  readonly forwards?: number
  /** `logps` under the original weights, if `logps` come from fewer bits: for one candidate a call. */
  readonly exactLogps?: ReadonlyArray<number>
}

/** `exact`: whole sequences under the original weights. */
type Name = "prefill" | "decode" | "verify" | "exact"

export class SamplerProgram {
  readonly #spec: SamplerSpec
  readonly #sessions = new Sessions((name: Name) => this.#open(name))
  /** Hash of the adapter that the decoding session holds. */
  #held = ""
  #drafts: { readonly key: number; readonly of: Drafts } | undefined

  constructor(spec: SamplerSpec) {
    this.#spec = spec
  }

  /** `[prompt][candidate]`, in the order given. */
  async sample(call: SampleCall): Promise<Array<Array<Sampled>>> {
    const { maxLength, maxNumSeqs } = this.#spec
    const groups = call.prompts.map(({ ids, seeds }) => {
      const asked: Asked = {
        ids,
        options: call.options,
        eosIds: call.eosIds,
        stops: [call.stop],
        limit: Math.min(call.maxNewTokens, maxLength - ids.length),
        wellFormedAfter: call.wellFormedAfter
      }
      return seeds.map((seed) => new Sequence(asked, seed))
    })
    const batch = await this.#batch(call)
    const waiting = groups.flat()
    for (;;) {
      for (let next; (next = takeNext(waiting, batch.open, maxNumSeqs)).length > 0;) await batch.admit(next, waiting)
      if (batch.open === 0) break
      await batch.advance()
    }
    const exact = await this.#exactLogps(call, groups.flat())
    return groups.map((group) =>
      group.map((sequence) => {
        const { drawnLogps, finish, forwards, ids, logps } = sequence
        return {
          ids,
          logps,
          finish,
          ...(isPlain(call.options) ? {} : { drawnLogps }),
          ...(this.#drafting ? { forwards } : {}),
          ...(exact?.sequence === sequence ? { exactLogps: exact.logps } : {})
        }
      })
    )
  }

  /** log p of each token of a completion under the original weights and these parameters, nats: what the trainer would say. */
  async logps(parameters: Parameters, promptIds: ReadonlyArray<number>, completionIds: ReadonlyArray<number>): Promise<Array<number>> {
    const session = await this.#sessions.get("exact")
    const feeds = sequenceFeeds(this.#spec.checkpoint.config, [{ ids: [...promptIds, ...completionIds], promptLength: promptIds.length }])
    const { logps } = await session.run({ ...feeds, ...feedsOf(parameters) })
    return Array.from(logps!.data as Float32Array)
  }

  release(): Promise<void> {
    return this.#sessions.release()
  }

  async #batch({ history, parameters, prompts }: SampleCall): Promise<DecodingBatch> {
    const { checkpoint: { config }, tokenTexts } = this.#spec
    return new DecodingBatch({
      config,
      prefill: await this.#sessions.get("prefill"),
      decode: await this.#decoding(parameters),
      drafts: this.#drafting ? this.#draftsOf(history) : undefined,
      filters: this.#filters,
      parameters: feedsOf(parameters),
      shared: !this.#shares ? "no" : prompts.some(({ seeds }) => seeds.length > 1) ? "held" : "empty",
      textOf: (id) => tokenTexts[id] ?? ""
    })
  }

  get #filters(): Filters {
    return this.#spec.filters ?? { minP: false }
  }

  get #shares(): boolean {
    const { checkpoint, maxNumSeqs, sharePrompts = maxNumSeqs > 1 && !isSmall(checkpoint.config) } = this.#spec
    return sharePrompts
  }

  get #drafting(): boolean {
    return (this.#spec.draftTokens ?? 0) > 0
  }

  #draftsOf({ completions, key }: DraftHistory = { key: -1, completions: [] }): Drafts {
    if (this.#drafts?.key === key) return this.#drafts.of
    const of = new Drafts(completions, { most: this.#spec.draftTokens!, vocab: this.#spec.checkpoint.config.vocab })
    this.#drafts = { key, of }
    return of
  }

  /**
   * With a quantized model, the session holds the adapter and is made again for another adapter. That takes a second or
   * two, which some hundred tokens pay back. In float32 it would take many seconds, and an adapter is small beside the
   * weights.
   */
  async #decoding(adapter: Parameters): Promise<Session> {
    // With drafts, one graph reads all: the weights are prepared once.
    const name = this.#drafting ? "verify" : "decode"
    if (this.#spec.quantized === undefined || bytesOf(adapter) > heldBytes) return this.#sessions.get(name)
    const digest = digestOf(adapter)
    if (digest !== this.#held) await this.#sessions.drop(name)
    this.#held = digest
    return this.#sessions.get(name, (name) => this.#open(name, adapter))
  }

  async #open(name: Name, adapter?: Parameters): Promise<Session> {
    const { checkpoint, device, lora, maxLength, quantized, spinning, threads } = this.#spec
    const weights: Weights = { index: checkpoint.index, trainable: lora === undefined ? "all" : "none", lora, adapter, quantized }
    const g = new Graph()
    if (name === "exact") g.output("logps", forward(g, checkpoint.config, { ...weights, quantized: undefined }, maxLength, false).logps)
    else if (name === "prefill") prefill(g, checkpoint.config, weights, maxLength, this.#filters)
    else (name === "verify" ? verify : decode)(g, checkpoint.config, weights, maxLength, this.#filters, this.#shares)
    return createSession(g, {
      device,
      spinning,
      threads,
      weights: name === "exact" ? "mapped" : "prepared",
      weightsFolder: checkpoint.folder
    })
  }

  /** How far fewer bits lead from the original weights: measured on one completion, a different one in each call. */
  async #exactLogps(call: SampleCall, sequences: ReadonlyArray<Sequence>) {
    const { measureGap = true, quantized } = this.#spec
    if (quantized === undefined || !measureGap || sequences.length === 0) return undefined
    const sequence = sequences[hash32(sequences[0]!.seed) % sequences.length]!
    return { sequence, logps: await this.logps(call.parameters, sequence.asked.ids, sequence.ids) }
  }
}

/** Bytes of the largest adapter that a graph holds: it is encoded whole, and must stay below 2 GB. */
const heldBytes = 2 ** 28

const bytesOf = (parameters: Parameters): number => [...parameters.values()].reduce((n, { data }) => n + data.byteLength, 0)

const digestOf = (parameters: Parameters): string => {
  const hash = createHash("sha256")
  for (const [name, { data }] of parameters) hash.update(name).update(data)
  return hash.digest("hex")
}
