/**
 * The sampler: batched decoding with a key-value cache. Plain promises, no Effect: it lives in a worker thread
 * (onnx-runtime.ts) and owns its sessions and caches.
 *
 * A prompt is read once; its K candidates share its cache until enough of them are done. The caches are plain arrays: onnxruntime reads them in place
 * and returns only the new token's keys and values, which are written into them here (GroupQueryAttention would copy
 * the whole cache out of every run).
 */
import type { DecoderCheckpoint } from "../../src/checkpoint.ts"
import type { Finish } from "../../src/domain.ts"
import { Graph } from "../../src/numerics/graph.ts"
import type { LoraConfig } from "../../src/numerics/parameters.ts"
import { uniformAt } from "../../src/numerics/random.ts"
import { choose, logSumExp, probabilities, type SamplingOptions } from "../../src/numerics/sampling.ts"
import { padTo, type Parameters } from "../../src/numerics/tensor.ts"
import { decode, prefill, type Weights } from "../../src/numerics/transformer.ts"
import { maskFeeds } from "./sequences.ts"
import { createSession, type Device, type Feed, type Feeds, float32, int64, type Session } from "./session.ts"

export interface SamplerSpec {
  readonly checkpoint: DecoderCheckpoint
  /** Undefined: every parameter is fed at each run (full fine-tuning). */
  readonly lora: LoraConfig | undefined
  /** Longest prompt and completion together, tokens. */
  readonly maxLength: number
  /** Text of every token of the vocabulary, for the stop string. */
  readonly tokenTexts: ReadonlyArray<string>
  readonly device: Device
  readonly threads: number
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
}

export interface Sampled {
  readonly ids: Array<number>
  /** log p of each token under the unfiltered policy at temperature 1, nats. */
  readonly logps: Array<number>
  readonly finish: Finish
}

/** Places a cache grows by, tokens. */
const growth = 32

interface Row extends Sampled {
  seed: number
  prompt: number
  finish: Finish
  done: boolean
  tail: string
}

export class SamplerProgram {
  readonly #spec: SamplerSpec
  #sessions: Promise<{ prefill: Session; decode: Session }> | undefined

  constructor(spec: SamplerSpec) {
    this.#spec = spec
  }

  /** `[prompt][candidate]`, in the order given. */
  async sample(call: SampleCall): Promise<Array<Array<Sampled>>> {
    const k = call.prompts[0]?.seeds.length ?? 0
    if (k === 0) return []
    const sessions = await (this.#sessions ??= this.#open())
    const adapter = Object.fromEntries(
      [...call.parameters].map(([name, { data, shape }]) => [name, float32(shape, data)])
    )
    const rows = call.prompts.map(({ seeds }, prompt) =>
      seeds.map((seed): Row => ({ seed, prompt, ids: [], logps: [], finish: "length", done: false, tail: "" }))
    )
    const start = await this.#prefill(sessions.prefill, adapter, call)
    rows.forEach((group, n) => group.forEach((row) => this.#draw(call, row, start.logits[n]!)))
    let cache = new Cache(this.#spec.checkpoint.config, start, rows.length, k)
    let group = rows.flat()
    const limit = Math.min(call.maxNewTokens, this.#spec.maxLength - start.length)
    for (let t = 1; t < limit; t++) {
      const open = [...group.keys()].filter((r) => !group[r]!.done)
      if (open.length === 0) break
      // Rows that are done cost as much as open ones: once they are many, the open ones go on without them.
      if (open.length <= group.length * 0.7) {
        cache = cache.keeping(open)
        group = open.map((r) => group[r]!)
      }
      const out = await sessions.decode.run({
        ...adapter,
        ...cache.feeds(),
        ids: int64([group.length, 1], group.map((row) => row.ids[t - 1] ?? 0)),
        positions: int64([group.length, 1], group.map((row) => call.prompts[row.prompt]!.ids.length + t - 1))
      })
      cache.push(out["keys"]!.data as Float32Array, out["values"]!.data as Float32Array)
      const logits = out["logits"]!.data as Float32Array
      const vocab = this.#spec.checkpoint.config.vocab
      group.forEach((row, r) => row.done || this.#draw(call, row, logits.subarray(r * vocab, (r + 1) * vocab)))
    }
    return rows.map((group) => group.map(({ finish, ids, logps }) => ({ ids, logps, finish })))
  }

  async release(): Promise<void> {
    const sessions = await this.#sessions
    this.#sessions = undefined
    await sessions?.prefill.release()
    await sessions?.decode.release()
  }

  async #open() {
    const { checkpoint, device, lora, maxLength, threads } = this.#spec
    const weights: Weights = { index: checkpoint.index, trainable: lora === undefined ? "all" : "none", lora }
    const options = { device, threads, weights: "prepared", weightsFolder: checkpoint.folder } as const
    const make = (build: typeof prefill) => {
      const g = new Graph()
      build(g, checkpoint.config, weights, maxLength)
      return createSession(g, options)
    }
    return { prefill: await make(prefill), decode: await make(decode) }
  }

  async #prefill(session: Session, adapter: Feeds, { prompts }: SampleCall): Promise<Start> {
    const { config } = this.#spec.checkpoint
    const { vocab } = config
    const length = Math.max(...prompts.map(({ ids }) => ids.length))
    const shape = [prompts.length, length]
    const out = await session.run({
      ...adapter,
      ids: int64(shape, prompts.flatMap(({ ids }) => padTo(ids, length))),
      positions: int64(shape, prompts.flatMap(() => Array.from({ length }, (_, t) => t))),
      ...maskFeeds(config, length),
      last: int64([prompts.length], prompts.map(({ ids }, n) => n * length + ids.length - 1))
    })
    const logits = out["logits"]!.data as Float32Array
    return {
      length,
      lengths: prompts.map(({ ids }) => ids.length),
      logits: prompts.map((_, n) => logits.subarray(n * vocab, (n + 1) * vocab)),
      keys: out["keys"]!.data as Float32Array,
      values: out["values"]!.data as Float32Array
    }
  }

  #draw(call: SampleCall, row: Row, logits: Float32Array): void {
    const uniform = uniformAt(row.seed, row.ids.length)
    const total = logSumExp(logits)
    const id = isPlain(call.options)
      ? chooseFromLogits(logits, total, uniform)
      : choose(probabilities(logits, call.options, [...call.prompts[row.prompt]!.ids, ...row.ids]), uniform)
    row.ids.push(id)
    row.logps.push(logits[id]! - total)
    row.tail = (row.tail + (this.#spec.tokenTexts[id] ?? "")).slice(-64)
    if (call.eosIds.includes(id)) row.finish = "eos"
    else if (row.tail.includes(call.stop)) row.finish = "stop"
    else return
    row.done = true
  }
}

interface Start {
  /** Longest prompt, tokens. */
  readonly length: number
  readonly lengths: ReadonlyArray<number>
  readonly logits: ReadonlyArray<Float32Array>
  /** [layers, prompt, kvHeads, D, length] */
  readonly keys: Float32Array
  /** [layers, prompt, kvHeads, length, D] */
  readonly values: Float32Array
}

const isPlain = (o: SamplingOptions): boolean =>
  o.temperature === 1 && o.topK === 0 && o.topP === 1 && o.minP === 0 && o.repetitionPenalty === 1

/** `choose(softmax(logits), uniform)` without the copy: the common case, once a row and token. */
const chooseFromLogits = (logits: Float32Array, total: number, uniform: number): number => {
  let sum = 0
  for (let i = 0; i < logits.length; i++) {
    sum += Math.exp(logits[i]! - total)
    if (uniform < sum) return i
  }
  return logits.indexOf(logits.reduce((a, b) => Math.max(a, b), -Infinity))
}

/** Keys and values of N prompts and of their N * K continuations. */
class Cache {
  readonly #c: DecoderCheckpoint["config"]
  readonly #prompt: Start
  readonly #k: number
  #rows: number
  #used = 0
  #capacity = growth
  /** Per layer: [row, kvHeads, D, capacity] and [row, kvHeads, capacity, D]. */
  #keys: Array<Float32Array>
  #values: Array<Float32Array>

  constructor(c: DecoderCheckpoint["config"], prompt: Start, prompts: number, k: number) {
    this.#c = c
    this.#prompt = prompt
    this.#k = k
    this.#rows = prompts * k
    const make = () => Array.from({ length: c.layers }, () => new Float32Array(this.#rows * this.#plane * growth))
    this.#keys = make()
    this.#values = make()
  }

  /** kvHeads * D */
  get #plane(): number {
    return this.#c.kvHeads * this.#c.headDim
  }

  feeds(): Feeds {
    const { headDim, heads, kvHeads, layers, sliding } = this.#c
    const { length } = this.#prompt
    const prompts = this.#rows / this.#k
    const size = prompts * this.#plane * length
    const feeds: Record<string, Feed> = {
      ...this.#masks("", Infinity),
      ...(sliding === undefined ? {} : this.#masks("sliding_", sliding.window)),
      grouping: int64([5], [prompts, this.#k, kvHeads, heads / kvHeads, length]),
      joining: int64([4], [this.#rows, kvHeads, heads / kvHeads, length]),
      lengths: int64([2], [length, length + this.#capacity])
    }
    for (let i = 0; i < layers; i++) {
      const part = (x: Float32Array) => x.subarray(i * size, (i + 1) * size)
      feeds[`prompt_k.${i}`] = float32([prompts, kvHeads, headDim, length], part(this.#prompt.keys))
      feeds[`prompt_v.${i}`] = float32([prompts, kvHeads, length, headDim], part(this.#prompt.values))
      feeds[`past_k.${i}`] = float32([this.#rows, kvHeads, headDim, this.#capacity], this.#keys[i]!)
      feeds[`past_v.${i}`] = float32([this.#rows, kvHeads, this.#capacity, headDim], this.#values[i]!)
    }
    return feeds
  }

  /** Which places the next token of every row sees: those in use, as far back as `window` reaches from it. */
  #masks(prefix: string, window: number): Feeds {
    const { length, lengths } = this.#prompt
    const prompt = new Float32Array(lengths.length * length).fill(-1e9)
    lengths.forEach((end, n) => prompt.fill(0, n * length + Math.max(0, end + this.#used + 1 - window), n * length + end))
    const past = new Float32Array(this.#capacity).fill(-1e9)
    past.fill(0, Math.max(0, this.#used + 1 - window), this.#used)
    return {
      [`${prefix}prompt_mask`]: float32([lengths.length, 1, 1, length], prompt),
      [`${prefix}past_mask`]: float32([1, 1, 1, this.#capacity], past)
    }
  }

  /** Takes one new token's keys and values, each [layers, row, kvHeads, 1, D]. */
  push(keys: Float32Array, values: Float32Array): void {
    if (this.#used === this.#capacity) this.#grow()
    const { headDim, kvHeads, layers } = this.#c
    const planes = this.#rows * kvHeads
    const at = this.#used
    const capacity = this.#capacity
    for (let i = 0; i < layers; i++) {
      const k = this.#keys[i]!
      const v = this.#values[i]!
      for (let plane = 0; plane < planes; plane++) {
        const from = (i * planes + plane) * headDim
        for (let d = 0; d < headDim; d++) k[(plane * headDim + d) * capacity + at] = keys[from + d]!
        v.set(values.subarray(from, from + headDim), (plane * capacity + at) * headDim)
      }
    }
    this.#used++
  }

  #grow(): void {
    const { headDim, kvHeads } = this.#c
    const before = this.#capacity
    const after = before + growth
    const planes = this.#rows * kvHeads
    const widened = (x: Float32Array, blocks: number, width: number) => {
      const out = new Float32Array(blocks * width * after)
      const length = width * before
      for (let b = 0; b < blocks; b++) out.set(x.subarray(b * length, (b + 1) * length), b * width * after)
      return out
    }
    this.#keys = this.#keys.map((x) => widened(x, planes * headDim, 1))
    this.#values = this.#values.map((x) => widened(x, planes, headDim))
    this.#capacity = after
  }

  /** A cache of these rows only, each with a copy of its prompt: what is left is few, and shares little. */
  keeping(rows: ReadonlyArray<number>): Cache {
    const { layers } = this.#c
    const blocks = (x: Float32Array, count: number, which: ReadonlyArray<number>) => {
      const length = x.length / count
      const out = new Float32Array(which.length * length)
      which.forEach((from, to) => out.set(x.subarray(from * length, (from + 1) * length), to * length))
      return out
    }
    const all = this.#rows / this.#k
    const prompts = rows.map((r) => Math.floor(r / this.#k))
    const everyLayer = Array.from({ length: layers }, (_, i) => prompts.map((n) => i * all + n)).flat()
    const kept = new Cache(
      this.#c,
      {
        length: this.#prompt.length,
        lengths: prompts.map((n) => this.#prompt.lengths[n]!),
        logits: [],
        keys: blocks(this.#prompt.keys, layers * all, everyLayer),
        values: blocks(this.#prompt.values, layers * all, everyLayer)
      },
      rows.length,
      1
    )
    kept.#used = this.#used
    kept.#capacity = this.#capacity
    kept.#keys = this.#keys.map((x) => blocks(x, this.#rows, rows))
    kept.#values = this.#values.map((x) => blocks(x, this.#rows, rows))
    return kept
  }
}
