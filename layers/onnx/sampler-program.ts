/**
 * The sampler: batched decoding with a key-value cache. Plain promises, no Effect: it lives in a worker thread
 * (layers/onnx/runtime.ts) and owns its sessions and caches.
 *
 * A prompt is read once for its K candidates. As many sequences are decoded together as the memory allows; when one has
 * ended, the next that waits takes its place (continuous batching, Yu et al. 2022, Orca, OSDI '22).
 */
import { createHash } from "node:crypto"
import { SaxesParser } from "saxes"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import type { Finish } from "../../src/domain.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { type LoraConfig, type QuantizedWeights, type Weights } from "../../src/engine/weights/parameters.ts"
import { isSmall } from "../../src/engine/training/memory.ts"
import { hash32, uniformAt } from "../../src/engine/random.ts"
import { choose, isOfProbabilities, isPlain, logSumExp, narrowed, probabilities, type SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import { padTo, type Parameters } from "../../src/engine/weights/tensor.ts"
import { decode, type Filters, prefill } from "../../src/engine/sampling/decoding.ts"
import { forward } from "../../src/engine/nets/transformer.ts"
import { KeyValueCache } from "./kv-cache.ts"
import { maskFeeds, sequenceFeeds } from "./sequences.ts"
import { createSession, type Device, type Feeds, feedsOf, float32, int64, type Session, Sessions } from "./session.ts"
import { type ReadPrompt, SharedPrompts } from "./shared-prompts.ts"

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
  /** What the graphs apply; a call whose options say otherwise is filtered in code. Default nothing. */
  readonly filters?: Filters
  /** Most sequences decoded together. */
  readonly maxNumSeqs: number
  /**
   * Whether candidates of a prompt share the reading of its keys and values. Default: if several are decoded, of a
   * large model.
   */
  readonly sharePrompts?: boolean | undefined
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
}

export interface Sampled {
  readonly ids: Array<number>
  /** log p of each token under the unfiltered policy at temperature 1, nats. */
  readonly logps: Array<number>
  /** log p of each under what it was drawn from, if temperature or filters make that another. */
  readonly drawnLogps?: ReadonlyArray<number>
  readonly finish: Finish
  /** `logps` under the original weights, if `logps` come from fewer bits: for one candidate a call. */
  readonly exactLogps?: ReadonlyArray<number>
}

interface Row {
  readonly prompt: number
  readonly seed: number
  readonly ids: Array<number>
  readonly logps: Array<number>
  readonly drawnLogps: Array<number>
  /** Longest completion, tokens. */
  readonly limit: number
  readonly xml: XmlWatch | undefined
  finish: Finish
  done: boolean
  tail: string
}

/** Prompt tokens, padding included, that are read in one run. */
const tokensARun = 2048

/** `exact`: the original weights, if the others have fewer bits. */
type Name = "prefill" | "decode" | "exact"

export class SamplerProgram {
  readonly #spec: SamplerSpec
  readonly #sessions = new Sessions((name: Name) => this.#open(name))
  /** Hash of the adapter that the decoding session holds. */
  #held = ""

  constructor(spec: SamplerSpec) {
    this.#spec = spec
  }

  /** `[prompt][candidate]`, in the order given. */
  async sample(call: SampleCall): Promise<Array<Array<Sampled>>> {
    const { maxLength, maxNumSeqs } = this.#spec
    const reading = await this.#sessions.get("prefill")
    const decoding = await this.#decoding(call.parameters)
    const adapter = feedsOf(call.parameters)
    const groups = call.prompts.map(({ ids, seeds }, prompt) =>
      seeds.map((seed): Row => ({
        prompt,
        seed,
        ids: [],
        logps: [],
        drawnLogps: [],
        limit: Math.min(call.maxNewTokens, maxLength - ids.length),
        xml: call.wellFormedAfter === undefined ? undefined : new XmlWatch(call.wellFormedAfter),
        finish: "length",
        done: false,
        tail: ""
      }))
    )
    const waiting = groups.flat()
    const choice = choiceOf(call.options, this.#filters)
    const reader = new PromptReader(this.#spec.checkpoint, reading, adapter, call, choice)
    const cache = new KeyValueCache(this.#spec.checkpoint.config)
    const shared = this.#shares ? new SharedPrompts(this.#spec.checkpoint.config) : undefined
    const sharing = shared !== undefined && call.prompts.some(({ seeds }) => seeds.length > 1)
    /** Every prompt of the batch, in the order of its first row. */
    const hold = (read: (prompt: number) => ReadPrompt) => {
      if (sharing) shared.hold([...new Set(batch.map(({ prompt }) => prompt))], (n) => call.prompts[n]!.ids.length, read)
    }
    let batch: Array<Row> = []
    const open = () => batch.filter(({ done }) => !done).length
    // Several places are filled at a time: prompts are read faster together.
    const worthwhile = Math.ceil(maxNumSeqs / 8)
    for (;;) {
      while (waiting.length > 0 && (open() === 0 || maxNumSeqs - open() >= worthwhile)) {
        const read = await this.#admit(call, batch, waiting.splice(0, maxNumSeqs - open()), cache, reader, sharing)
        hold(read)
      }
      const left = [...batch.keys()].filter((r) => !batch[r]!.done)
      if (left.length === 0) break
      // Finished rows cost as much as open ones: once there are many, the open rows continue without them.
      if (left.length <= batch.length * 0.7) {
        cache.arrange(left)
        batch = left.map((r) => batch[r]!)
        hold(reader.known)
      }
      const out = await decoding.run({
        ...adapter,
        ...choice.feeds,
        ...cache.feeds(),
        ...shared?.feeds(batch.map(({ ids, prompt }) => ({ prompt, tokens: ids.length - 1 }))),
        ids: int64([batch.length], batch.map(({ ids }) => ids.at(-1)!)),
        positions: int64([batch.length, 1], batch.map(({ ids, prompt }) => call.prompts[prompt]!.ids.length + ids.length - 1))
      }, [...choice.outputs, "keys", "values"])
      cache.push(out["keys"]!.data as Float32Array, out["values"]!.data as Float32Array)
      const scores = scoresOf(out, this.#spec.checkpoint.config.vocab)
      batch.forEach((row, r) => row.done || this.#draw(call, row, scores(r)))
    }
    const exact = await this.#exactLogps(call, groups.flat())
    return groups.map((group) =>
      group.map((row) => {
        const { drawnLogps, finish, ids, logps } = row
        return { ids, logps, finish, ...(isPlain(call.options) ? {} : { drawnLogps }), ...(exact?.row === row ? { exactLogps: exact.logps } : {}) }
      })
    )
  }

  release(): Promise<void> {
    return this.#sessions.release()
  }

  get #filters(): Filters {
    return this.#spec.filters ?? { minP: 0 }
  }

  get #shares(): boolean {
    const { checkpoint, maxNumSeqs, sharePrompts = maxNumSeqs > 1 && !isSmall(checkpoint.config) } = this.#spec
    return sharePrompts
  }

  /**
   * With a quantized model, the session holds the adapter and is made again for another adapter. That takes a second or
   * two, which some hundred tokens pay back. In float32 it would take many seconds, and an adapter is small beside the
   * weights.
   */
  async #decoding(adapter: Parameters): Promise<Session> {
    if (this.#spec.quantized === undefined || bytesOf(adapter) > heldBytes) return this.#sessions.get("decode")
    const digest = digestOf(adapter)
    if (digest !== this.#held) await this.#sessions.drop("decode")
    this.#held = digest
    return this.#sessions.get("decode", (name) => this.#open(name, adapter))
  }

  async #open(name: Name, adapter?: Parameters): Promise<Session> {
    const { checkpoint, device, lora, maxLength, quantized, spinning, threads } = this.#spec
    const weights: Weights = { index: checkpoint.index, trainable: lora === undefined ? "all" : "none", lora, adapter, quantized }
    const g = new Graph()
    if (name === "exact") g.output("logps", forward(g, checkpoint.config, { ...weights, quantized: undefined }, maxLength, false).logps)
    else if (name === "prefill") prefill(g, checkpoint.config, weights, maxLength, this.#filters)
    else decode(g, checkpoint.config, weights, maxLength, this.#filters, this.#shares)
    return createSession(g, {
      device,
      spinning,
      threads,
      weights: name === "exact" ? "mapped" : "prepared",
      weightsFolder: checkpoint.folder
    })
  }

  /** Puts rows into free places of the batch, new ones if needed, and draws their first token. */
  async #admit(
    call: SampleCall,
    batch: Array<Row>,
    rows: ReadonlyArray<Row>,
    cache: KeyValueCache,
    reader: PromptReader,
    shared: boolean
  ): Promise<(prompt: number) => Read> {
    const read = await reader.read(rows.map(({ prompt }) => prompt))
    const free = [...batch.keys()].filter((r) => batch[r]!.done)
    const before = batch.length
    const places = rows.map((_, i) => free[i] ?? before + i - free.length)
    const size = Math.max(before, ...places.map((place) => place + 1))
    if (size > before) cache.arrange(Array.from({ length: size }, (_, r) => (r < before ? r : undefined)))
    rows.forEach((row, i) => {
      const { at, prompts, scores } = read(row.prompt)
      if (shared) cache.beginEmpty(places[i]!)
      else cache.begin(places[i]!, prompts, at, call.prompts[row.prompt]!.ids.length)
      batch[places[i]!] = row
      this.#draw(call, row, scores)
    })
    return read
  }

  #draw(call: SampleCall, row: Row, { cooled, likely, logits, probabilities }: Scores): void {
    const uniform = uniformAt(row.seed, row.ids.length)
    const { drawnLogp, id, logp } = probabilities !== undefined
      ? drawn(probabilities, likely ?? (cooled === undefined ? probabilities : narrowed(cooled, call.options)), uniform)
      : filtered(logits!, call.options, [...call.prompts[row.prompt]!.ids, ...row.ids], uniform)
    const text = this.#spec.tokenTexts[id] ?? ""
    row.ids.push(id)
    row.logps.push(logp)
    row.drawnLogps.push(drawnLogp)
    row.tail = (row.tail + text).slice(-64)
    if (call.eosIds.includes(id)) row.finish = "eos"
    else if (row.tail.includes(call.stop)) row.finish = "stop"
    else if (row.xml?.broken(text)) row.finish = "malformed"
    else if (row.ids.length < row.limit) return
    row.done = true
  }

  /** How far fewer bits lead from the original weights: measured on one completion, a different one in each call. */
  async #exactLogps(call: SampleCall, rows: ReadonlyArray<Row>) {
    const { checkpoint, measureGap = true, quantized } = this.#spec
    if (quantized === undefined || !measureGap || rows.length === 0) return undefined
    const row = rows[hash32(rows[0]!.seed) % rows.length]!
    const session = await this.#sessions.get("exact")
    const { ids } = call.prompts[row.prompt]!
    const feeds = sequenceFeeds(checkpoint.config, [{ ids: [...ids, ...row.ids], promptLength: ids.length }])
    const { logps } = await session.run({ ...feeds, ...feedsOf(call.parameters) })
    return { row, logps: Array.from(logps!.data as Float32Array) }
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

/** A prompt that was read: its number among those read with it, and the scores of its first new token. */
interface Read extends ReadPrompt {
  readonly scores: Scores
}

/** What the next token of a row is chosen by, [vocab] each: the outputs that `choiceOf` names. */
type Scores = Readonly<Partial<Record<"logits" | "probabilities" | "cooled" | "likely", Float32Array>>>

/** What a run is fed and asked for, so that tokens can be chosen: top_p, and a min_p that the graph was not made for, are applied to its probabilities, other filters to logits. */
const choiceOf = (options: SamplingOptions, { minP }: Filters): Choice => {
  const read = isOfProbabilities(options)
  const filtered = options.topP === 1 && options.minP > 0 && options.minP === minP
  return {
    feeds: { inverse_temperature: float32([1], Float32Array.of(read ? 1 / options.temperature : 1)) },
    outputs: isPlain(options) ? ["probabilities"] : read ? ["probabilities", filtered ? "likely" : "cooled"] : ["logits"]
  }
}

interface Choice {
  readonly feeds: Feeds
  readonly outputs: ReadonlyArray<keyof Scores>
}

/** By row. */
const scoresOf = (out: Feeds, vocab: number) => (row: number): Scores => {
  const of = (name: keyof Scores) => (out[name]?.data as Float32Array | undefined)?.subarray(row * vocab, (row + 1) * vocab)
  return { logits: of("logits"), probabilities: of("probabilities"), cooled: of("cooled"), likely: of("likely") } as Scores
}

/**
 * Reads prompts as they are needed, several in one run, and keeps the last ones until all their candidates have begun.
 */
class PromptReader {
  readonly #checkpoint: DecoderCheckpoint
  readonly #session: Session
  readonly #adapter: Feeds
  readonly #call: SampleCall
  readonly #choice: Choice
  #known = new Map<number, Read>()

  constructor(checkpoint: DecoderCheckpoint, session: Session, adapter: Feeds, call: SampleCall, choice: Choice) {
    this.#checkpoint = checkpoint
    this.#session = session
    this.#adapter = adapter
    this.#call = call
    this.#choice = choice
  }

  /** Prompts come in order: those before the first one wanted are not wanted again. */
  async read(wanted: ReadonlyArray<number>): Promise<(prompt: number) => Read> {
    this.#known = new Map([...this.#known].filter(([prompt]) => prompt >= Math.min(...wanted)))
    const missing = [...new Set(wanted)].filter((prompt) => !this.#known.has(prompt))
    for (let from = 0; from < missing.length;) {
      let to = from + 1
      let time = this.#length(missing[from]!)
      for (; to < missing.length; to++) {
        const longer = Math.max(time, this.#length(missing[to]!))
        if (longer * (to + 1 - from) > tokensARun) break
        time = longer
      }
      await this.#run(missing.slice(from, to), time)
      from = to
    }
    return this.known
  }

  readonly known = (prompt: number): Read => this.#known.get(prompt)!

  #length(prompt: number): number {
    return this.#call.prompts[prompt]!.ids.length
  }

  async #run(wanted: ReadonlyArray<number>, time: number): Promise<void> {
    const { config } = this.#checkpoint
    const ids = wanted.map((prompt) => this.#call.prompts[prompt]!.ids)
    const shape = [wanted.length, time]
    const out = await this.#session.run({
      ...this.#adapter,
      ...this.#choice.feeds,
      ids: int64(shape, ids.flatMap((own) => padTo(own, time))),
      positions: int64(shape, ids.flatMap(() => Array.from({ length: time }, (_, t) => t))),
      ...maskFeeds(config, time),
      last: int64([wanted.length], ids.map((own, n) => n * time + own.length - 1))
    }, [...this.#choice.outputs, "keys", "values"])
    const scores = scoresOf(out, config.vocab)
    const prompts = {
      keys: out["keys"]!.data as Float32Array,
      values: out["values"]!.data as Float32Array,
      count: wanted.length,
      time
    }
    wanted.forEach((prompt, at) => this.#known.set(prompt, { prompts, at, scores: scores(at) }))
  }
}

/** @param from what is drawn from, [vocab]: the token at which its running sum passes `uniform` */
const drawn = (probability: Float32Array, from: Float32Array | Float64Array, uniform: number) => {
  const id = choose(from, uniform)
  return { id, logp: Math.log(probability[id]!), drawnLogp: Math.log(from[id]!) }
}

/** From logits [vocab], through the filters. */
const filtered = (logits: Float32Array, options: SamplingOptions, seen: ReadonlyArray<number>, uniform: number) => {
  const probability = probabilities(logits, options, seen)
  const id = choose(probability, uniform)
  return { id, logp: logits[id]! - logSumExp(logits), drawnLogp: Math.log(probability[id]!) }
}

/** Checks whether a growing text can still become well-formed XML. */
class XmlWatch {
  readonly #parser = new SaxesParser({ xmlns: true })
  #broken = false

  constructor(start: string) {
    this.#parser.on("error", () => (this.#broken = true))
    this.#parser.write(start)
  }

  broken(text: string): boolean {
    if (!this.#broken) this.#parser.write(text)
    return this.#broken
  }
}
