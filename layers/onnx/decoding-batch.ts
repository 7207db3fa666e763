/**
 * Sequences that are decoded together, under the same parameters. A prompt is read once for all that continue it. Places of
 * sequences that have ended are taken by the next ones.
 */
import { SaxesParser } from "saxes"
import type { Finish } from "../../src/domain.ts"
import type { DecoderConfig } from "../../src/engine/nets/transformer.ts"
import { uniformAt } from "../../src/engine/random.ts"
import type { Filters } from "../../src/engine/sampling/decoding.ts"
import type { Drafts } from "../../src/engine/sampling/drafts.ts"
import type { SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import { KeyValueCache, type Taken } from "./kv-cache.ts"
import { PromptReader } from "./prompt-reader.ts"
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
  /** Times that the model was run for it, its prompt included: with drafts fewer than tokens. */
  forwards = 0
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
  /** Reads one token a sequence (`decode` there); with drafts, one and its draft (`verify`). */
  readonly decode: Session
  readonly drafts?: Drafts | undefined
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
      sequence.forwards++
    })
    this.#hold(read)
  }

  /** One more token for every open sequence; with drafts, one more and what was drafted right. */
  async advance(): Promise<void> {
    const { config, decode, drafts, filters, parameters } = this.#with
    const left = [...this.#rows.keys()].filter((r) => !this.#rows[r]!.done)
    if (left.length === 0) return
    // Finished rows cost as much as open ones: once there are many, the open rows continue without them.
    if (left.length <= this.#rows.length * 0.7) {
      this.#cache.arrange(left)
      this.#rows = left.map((r) => this.#rows[r]!)
      this.#hold(this.#reader.known)
    }
    this.#cache.trim()
    const runs = this.#rows.map((row) => this.#toRead(row))
    const tokens = runs.flatMap((run, r) => run.map((id, t) => ({ id, row: this.#rows[r]!, before: this.#rows[r]!.ids.length - 1 + t })))
    const { feeds, outputs } = readingOf(tokens.map(({ row }) => row.asked.options), filters)
    const out = await decode.run({
      ...parameters,
      ...feeds,
      ...(drafts === undefined ? this.#cache.feeds() : this.#cache.feedsOf(runs.map(({ length }) => length))),
      ...this.#shared?.feeds(tokens.map(({ before, row }) => ({ prompt: row.asked, tokens: before }))),
      ids: int64([tokens.length], tokens.map(({ id }) => id)),
      positions: int64([tokens.length, 1], tokens.map(({ before, row }) => row.asked.ids.length + before))
    }, [...outputs, "keys", "values"])
    const scores = scoresOf(out, config.vocab)
    const taken: Array<Taken> = []
    let from = 0
    runs.forEach((run, row) => {
      const count = this.#draw(this.#rows[row]!, run, (t) => scores(from + t))
      if (count > 0) taken.push({ row, from, count })
      from += run.length
    })
    this.#cache.push(out["keys"]!.data as Float32Array, out["values"]!.data as Float32Array, taken)
  }

  /** A sequence's last token, and a draft of what follows it. */
  #toRead({ asked, done, ids }: Sequence): ReadonlyArray<number> {
    const { drafts } = this.#with
    if (drafts === undefined) return [ids.at(-1)!]
    return done ? [] : [ids.at(-1)!, ...drafts.propose(ids, asked.limit - ids.length - 1)]
  }

  /**
   * Draws a token after each one read, as long as that is the token that was drawn before.
   *
   * @returns how many were drawn, which is how many of those read are the sequence's
   */
  #draw(row: Sequence, read: ReadonlyArray<number>, scores: (t: number) => Scores): number {
    let count = 0
    while (!row.done && count < read.length && row.ids.at(-1) === read[count]) row.draw(scores(count++), this.#with.filters, this.#with.textOf)
    if (count > 0) row.forwards++
    return count
  }

  /** Every prompt of the batch, in the order of its first row. */
  #hold(read: (prompt: Asked) => ReadPrompt): void {
    if (this.#with.shared === "held") this.#shared!.hold([...new Set(this.#rows.map(({ asked }) => asked))], ({ ids }) => ids.length, read)
  }
}

/** The waiting sequences that take places now. Several are filled at a time: prompts are read faster together. */
export const takeNext = (waiting: Array<Sequence>, open: number, places: number): Array<Sequence> =>
  open === 0 || places - open >= Math.ceil(places / 8) ? waiting.splice(0, places - open) : []

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
