/**
 * Decodes for many callers at once, who come and go between two calls of `advance`. Requests under the same
 * adapter are decoded together; those under others, in turn. Plain promises, no Effect: it lives in a worker thread
 * (layers/onnx/runtime.ts).
 */
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import type { Finish } from "../../src/domain.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { decode, type Filters, prefill } from "../../src/engine/sampling/decoding.ts"
import { modulesOf } from "../../src/engine/nets/transformer.ts"
import { anyAdapter, factorsOfAny, type LoraConfig, type QuantizedWeights, type Weights } from "../../src/engine/weights/parameters.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { type Asked, DecodingBatch, Sequence, takeNext } from "./decoding-batch.ts"
import { createSession, type Device, type Feeds, feedsOf, type Session, Sessions } from "./session.ts"

export interface ServingSpec {
  readonly checkpoint: DecoderCheckpoint
  /** Undefined: the original weights, in float32. */
  readonly quantized?: QuantizedWeights | undefined
  /** Longest prompt and completion together, tokens. */
  readonly maxLength: number
  /** Most sequences decoded together. */
  readonly maxNumSeqs: number
  /**
   * Milliseconds that a call of `advance` goes on for: a small model decodes several tokens in them, which costs its caller less
   * than so many calls. Default 50.
   */
  readonly callTime?: number
  /** Text of every token of the vocabulary, for stop texts. */
  readonly tokenTexts: ReadonlyArray<string>
  readonly device: Device
  readonly threads: number
  readonly spinning?: boolean | undefined
}

/** A request that begins: one completion for each seed. */
export interface Begun {
  readonly id: number
  /** One that is held; undefined: the base. */
  readonly adapter: string | undefined
  readonly asked: Asked
  readonly seeds: ReadonlyArray<number>
}

/** What a completion has gained: one token or more. */
export interface Gained {
  readonly id: number
  /** Which of the request's completions. */
  readonly index: number
  readonly ids: ReadonlyArray<number>
  /** log p of each token under the unfiltered policy at temperature 1, nats. */
  readonly logps: ReadonlyArray<number>
  /** log p of each token under what it was drawn from, nats. */
  readonly drawnLogps: ReadonlyArray<number>
  /** The likeliest tokens at each place, if they were asked for. */
  readonly top: ReadonlyArray<ReadonlyArray<readonly [id: number, logp: number]>>
  /** If it has ended, why. */
  readonly finish: Finish | undefined
}

interface Served {
  readonly id: number
  readonly index: number
  readonly sequence: Sequence
  readonly adapter: Feeds
  /** Tokens that were told. */
  told: number
}

/** The graphs without and with adapters: a session that reads factors is slower, and the base needs none. */
type Name = "prefill" | "decode" | "prefill adapted" | "decode adapted"

/** Filters are applied in code: each request has its own. */
const filters: Filters = { minP: false }

/** The base's factors: none. */
const base: Feeds = {}

export class ServingProgram {
  readonly #spec: ServingSpec
  readonly #sessions = new Sessions((name: Name) => this.#open(name))
  readonly #adapters = new Map<string, Feeds>()
  readonly #batches = new Map<Feeds, DecodingBatch>()
  /** Those that have not ended, in the order in which they came. */
  #served: Array<Served> = []
  #waiting: Array<Sequence> = []

  constructor(spec: ServingSpec) {
    this.#spec = spec
  }

  /** Holds an adapter under a name, in place of the one that it had. What was begun under that goes on with it. */
  hold(name: string, lora: LoraConfig, parameters: Parameters): void {
    this.#adapters.set(name, feedsOf(factorsOfAny(modulesOf(this.#spec.checkpoint.config), lora, parameters)))
  }

  /** What was begun under it goes on with it. */
  letGo(name: string): void {
    this.#adapters.delete(name)
  }

  /**
   * Begins requests, ends others, and decodes a token for everybody who has a place, or as many as `callTime` allows.
   *
   * @param ended requests that nobody waits for any more: their places are free from now on
   * @returns what each completion has gained since the last call
   */
  async advance(begun: ReadonlyArray<Begun>, ended: ReadonlyArray<number>): Promise<Array<Gained>> {
    const gone = new Set(ended)
    this.#end(gone)
    for (const { adapter, asked, id, seeds } of begun) {
      if (gone.has(id)) continue // it came and went between two tokens
      const feeds = adapter === undefined ? base : this.#adapters.get(adapter)
      if (feeds === undefined) throw new Error(`no adapter ${adapter} is held`)
      seeds.forEach((seed, index) => {
        const sequence = new Sequence(asked, seed)
        this.#served.push({ id, index, sequence, adapter: feeds, told: 0 })
        this.#waiting.push(sequence)
      })
    }
    const until = performance.now() + (this.#spec.callTime ?? 50)
    do {
      await this.#admit()
      for (const batch of this.#batches.values()) await batch.advance()
    } while (this.#decoded > 0 && performance.now() < until)
    return this.#gained()
  }

  release(): Promise<void> {
    return this.#sessions.release()
  }

  /** Completions that have a place. */
  get #decoded(): number {
    return [...this.#batches.values()].reduce((sum, batch) => sum + batch.open, 0)
  }

  #end(ids: ReadonlySet<number>): void {
    if (ids.size === 0) return
    for (const { id, sequence } of this.#served) if (ids.has(id)) sequence.done = true
    this.#served = this.#served.filter(({ id }) => !ids.has(id))
    this.#waiting = this.#waiting.filter(({ done }) => !done)
  }

  /** First come, first served, whatever the adapter. */
  async #admit(): Promise<void> {
    for (const [adapter, batch] of this.#batches) if (batch.open === 0) this.#batches.delete(adapter)
    const next = new Set(takeNext(this.#waiting, this.#decoded, this.#spec.maxNumSeqs))
    if (next.size === 0) return
    const waiting = new Set(this.#waiting)
    for (const [adapter, own] of Map.groupBy(this.#served, ({ adapter }) => adapter)) {
      const sequences = own.map(({ sequence }) => sequence)
      const mine = sequences.filter((sequence) => next.has(sequence))
      if (mine.length > 0) await (await this.#batch(adapter)).admit(mine, sequences.filter((sequence) => waiting.has(sequence)))
    }
  }

  async #batch(adapter: Feeds): Promise<DecodingBatch> {
    const known = this.#batches.get(adapter)
    if (known !== undefined) return known
    const { checkpoint: { config }, tokenTexts } = this.#spec
    const adapted = adapter !== base
    const batch = new DecodingBatch({
      config,
      prefill: await this.#sessions.get(adapted ? "prefill adapted" : "prefill"),
      decode: await this.#sessions.get(adapted ? "decode adapted" : "decode"),
      filters,
      parameters: adapter,
      shared: "no",
      textOf: (id) => tokenTexts[id] ?? ""
    })
    this.#batches.set(adapter, batch)
    return batch
  }

  #gained(): Array<Gained> {
    const gained: Array<Gained> = []
    for (const served of this.#served) {
      const { id, index, sequence: { done, drawnLogps, finish, ids, logps, top }, told } = served
      if (ids.length === told) continue
      gained.push({
        id,
        index,
        ids: ids.slice(told),
        logps: logps.slice(told),
        drawnLogps: drawnLogps.slice(told),
        top: top.slice(told),
        finish: done ? finish : undefined
      })
      served.told = ids.length
    }
    this.#served = this.#served.filter(({ sequence }) => !sequence.done)
    return gained
  }

  async #open(name: Name): Promise<Session> {
    const { checkpoint, device, maxLength, quantized, spinning, threads } = this.#spec
    const weights: Weights = {
      index: checkpoint.index,
      trainable: "none",
      lora: name.endsWith("adapted") ? anyAdapter : undefined,
      quantized
    }
    const g = new Graph()
    if (name.startsWith("prefill")) prefill(g, checkpoint.config, weights, maxLength, filters)
    else decode(g, checkpoint.config, weights, maxLength, filters, false)
    return createSession(g, { device, spinning, threads, weights: "prepared", weightsFolder: checkpoint.folder })
  }
}
