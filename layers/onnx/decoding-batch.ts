/**
 * Sequences that are decoded together, under the same parameters. A prompt is read once for all that continue it. Places of
 * sequences that have ended are taken by the next ones.
 */
import { SaxesParser } from "saxes"
import type { Finish } from "../../src/domain.ts"
import type { DecoderConfig } from "../../src/engine/nets/transformer.ts"
import { uniformAt } from "../../src/engine/random.ts"
import type { Filters } from "../../src/engine/sampling/decoding.ts"
import type { SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import { padTo } from "../../src/engine/weights/tensor.ts"
import { KeyValueCache } from "./kv-cache.ts"
import { maskFeeds } from "./sequences.ts"
import { type Feeds, int64, type Session } from "./session.ts"
import { type ReadPrompt, SharedPrompts } from "./shared-prompts.ts"
import { draw, likeliest, readingOf, type Scores, scoresOf } from "./token-choice.ts"

/** A prompt and what holds for everything that continues it. */
export interface Asked {
  /** Its tokens, chat template and prefill included. */
  readonly ids: ReadonlyArray<number>
  /** How tokens are drawn. */
  readonly options: SamplingOptions
  readonly eosIds: ReadonlyArray<number>
  /** A sequence ends after the token that completes one of these texts. */
  readonly stops: ReadonlyArray<string>
  /** Longest completion, tokens. */
  readonly limit: number
  /** If given, how each answer begins; it ends as soon as it can no longer become well-formed XML. */
  readonly wellFormedAfter?: string | undefined
  /** How many of the likeliest tokens are noted at each place. Default none. */
  readonly topLogprobs?: number | undefined
}

/** One completion, while it is drawn and when it has ended. */
export class Sequence {
  readonly asked: Asked
  /** Key of its random numbers. */
  readonly seed: number
  readonly ids: Array<number> = []
  /** log p of each token under the unfiltered policy at temperature 1, nats. */
  readonly logps: Array<number> = []
  /** log p of each under what it was drawn from, nats. */
  readonly drawnLogps: Array<number> = []
  /** The likeliest tokens at each place, if they are asked for. */
  readonly top: Array<ReadonlyArray<readonly [id: number, logp: number]>> = []
  finish: Finish = "length"
  done = false
  readonly #xml: XmlWatch | undefined
  readonly #watched: number
  #tail = ""

  constructor(asked: Asked, seed: number) {
    this.asked = asked
    this.seed = seed
    this.#xml = asked.wellFormedAfter === undefined ? undefined : new XmlWatch(asked.wellFormedAfter)
    this.#watched = Math.max(64, ...asked.stops.map(({ length }) => 2 * length))
  }

  /** Takes the next token, and notes whether it is the last. @param text of the token alone */
  draw(scores: Scores, filters: Filters, textOf: (id: number) => string): void {
    const { asked, ids } = this
    const { drawnLogp, id, logp } = draw(scores, asked.options, filters, () => [...asked.ids, ...ids], uniformAt(this.seed, ids.length))
    const text = textOf(id)
    ids.push(id)
    this.logps.push(logp)
    this.drawnLogps.push(drawnLogp)
    if (asked.topLogprobs !== undefined) this.top.push(likeliest(scores, asked.topLogprobs))
    this.#tail = (this.#tail + text).slice(-this.#watched)
    if (asked.eosIds.includes(id)) this.finish = "eos"
    else if (asked.stops.some((stop) => this.#tail.includes(stop))) this.finish = "stop"
    else if (this.#xml?.broken(text)) this.finish = "malformed"
    else if (ids.length < asked.limit) return
    this.done = true
  }
}

/** What a batch decodes with. */
export interface Decoding {
  readonly config: DecoderConfig
  /** Reads prompts (`prefill` of src/engine/sampling/decoding.ts). */
  readonly prefill: Session
  /** Reads one token a row (`decode` there). */
  readonly decode: Session
  readonly filters: Filters
  /** The trainable parameters that both sessions read. */
  readonly parameters: Feeds
  /** Whether the decoding graph reads shared prompts (shared-prompts.ts), and if so, whether prompts are held there. */
  readonly shared: "no" | "empty" | "held"
  readonly textOf: (id: number) => string
}

export class DecodingBatch {
  readonly #with: Decoding
  readonly #cache: KeyValueCache
  readonly #reader: PromptReader
  readonly #shared: SharedPrompts<Asked> | undefined
  #rows: Array<Sequence> = []

  constructor(decoding: Decoding) {
    this.#with = decoding
    this.#cache = new KeyValueCache(decoding.config)
    this.#reader = new PromptReader(decoding)
    this.#shared = decoding.shared !== "no" ? new SharedPrompts(decoding.config) : undefined
  }

  /** Sequences that have not ended. */
  get open(): number {
    return this.#rows.filter(({ done }) => !done).length
  }

  /**
   * Puts sequences into free places, new ones if needed, and draws their first token.
   *
   * @param later sequences that will still be put in: prompts that they continue are kept
   */
  async admit(sequences: ReadonlyArray<Sequence>, later: ReadonlyArray<Sequence>): Promise<void> {
    const read = await this.#reader.read(sequences, later)
    const free = [...this.#rows.keys()].filter((r) => this.#rows[r]!.done)
    const before = this.#rows.length
    const places = sequences.map((_, i) => free[i] ?? before + i - free.length)
    const size = Math.max(before, ...places.map((place) => place + 1))
    if (size > before) this.#cache.arrange(Array.from({ length: size }, (_, r) => (r < before ? r : undefined)))
    sequences.forEach((sequence, i) => {
      const { at, prompts, scores } = read(sequence.asked)
      if (this.#with.shared === "held") this.#cache.beginEmpty(places[i]!)
      else this.#cache.begin(places[i]!, prompts, at, sequence.asked.ids.length)
      this.#rows[places[i]!] = sequence
      sequence.draw(scores, this.#with.filters, this.#with.textOf)
    })
    this.#hold(read)
  }

  /** One more token for every open sequence. */
  async advance(): Promise<void> {
    const { config, decode, filters, parameters, textOf } = this.#with
    const left = [...this.#rows.keys()].filter((r) => !this.#rows[r]!.done)
    if (left.length === 0) return
    // Finished rows cost as much as open ones: once there are many, the open rows continue without them.
    if (left.length <= this.#rows.length * 0.7) {
      this.#cache.arrange(left)
      this.#rows = left.map((r) => this.#rows[r]!)
      this.#hold(this.#reader.known)
    }
    this.#cache.trim()
    const rows = this.#rows
    const { feeds, outputs } = readingOf(rows.map(({ asked }) => asked.options), filters)
    const out = await decode.run({
      ...parameters,
      ...feeds,
      ...this.#cache.feeds(),
      ...this.#shared?.feeds(rows.map(({ asked, ids }) => ({ prompt: asked, tokens: ids.length - 1 }))),
      ids: int64([rows.length], rows.map(({ ids }) => ids.at(-1)!)),
      positions: int64([rows.length, 1], rows.map(({ asked, ids }) => asked.ids.length + ids.length - 1))
    }, [...outputs, "keys", "values"])
    this.#cache.push(out["keys"]!.data as Float32Array, out["values"]!.data as Float32Array, (r) => !rows[r]!.done)
    const scores = scoresOf(out, config.vocab)
    rows.forEach((row, r) => row.done || row.draw(scores(r), filters, textOf))
  }

  /** Every prompt of the batch, in the order of its first row. */
  #hold(read: (prompt: Asked) => ReadPrompt): void {
    if (this.#with.shared === "held") this.#shared!.hold([...new Set(this.#rows.map(({ asked }) => asked))], ({ ids }) => ids.length, read)
  }
}

/** The waiting sequences that take places now. Several are filled at a time: prompts are read faster together. */
export const takeNext = (waiting: Array<Sequence>, open: number, places: number): Array<Sequence> =>
  open === 0 || places - open >= Math.ceil(places / 8) ? waiting.splice(0, places - open) : []

/** A prompt that was read: its number among those read with it, and the scores of its first new token. */
interface Read extends ReadPrompt {
  readonly scores: Scores
}

/** Prompt tokens, padding included, that are read in one run. */
const tokensARun = 2048

/** Reads prompts as they are needed, several in one run, and keeps them until all their sequences have begun. */
class PromptReader {
  readonly #with: Decoding
  #known = new Map<Asked, Read>()

  constructor(decoding: Decoding) {
    this.#with = decoding
  }

  async read(sequences: ReadonlyArray<Sequence>, later: ReadonlyArray<Sequence>): Promise<(prompt: Asked) => Read> {
    const wanted = new Set([...sequences, ...later].map(({ asked }) => asked))
    this.#known = new Map([...this.#known].filter(([asked]) => wanted.has(asked)))
    const missing = [...new Set(sequences.map(({ asked }) => asked))].filter((asked) => !this.#known.has(asked))
    for (let from = 0; from < missing.length;) {
      let to = from + 1
      let time = missing[from]!.ids.length
      for (; to < missing.length; to++) {
        const longer = Math.max(time, missing[to]!.ids.length)
        if (longer * (to + 1 - from) > tokensARun) break
        time = longer
      }
      await this.#run(missing.slice(from, to), time)
      from = to
    }
    return this.known
  }

  readonly known = (prompt: Asked): Read => this.#known.get(prompt)!

  async #run(wanted: ReadonlyArray<Asked>, time: number): Promise<void> {
    const { config, filters, parameters, prefill } = this.#with
    const shape = [wanted.length, time]
    const { feeds, outputs } = readingOf(wanted.map(({ options }) => options), filters)
    const out = await prefill.run({
      ...parameters,
      ...feeds,
      ids: int64(shape, wanted.flatMap(({ ids }) => padTo(ids, time))),
      positions: int64(shape, wanted.flatMap(() => Array.from({ length: time }, (_, t) => t))),
      ...maskFeeds(config, time),
      last: int64([wanted.length], wanted.map(({ ids }, n) => n * time + ids.length - 1))
    }, [...outputs, "keys", "values"])
    const scores = scoresOf(out, config.vocab)
    const prompts = {
      keys: out["keys"]!.data as Float32Array,
      values: out["values"]!.data as Float32Array,
      count: wanted.length,
      time
    }
    wanted.forEach((asked, at) => this.#known.set(asked, { prompts, at, scores: scores(at) }))
  }
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
