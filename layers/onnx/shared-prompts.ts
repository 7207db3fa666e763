/** Keys and values of the prompts that rows continue, each held once, in the layout that `decode` reads. */
import type { DecoderConfig } from "../../src/engine/nets/transformer.ts"
import type { PrefilledPrompts } from "./kv-cache.ts"
import { type Feed, type Feeds, float32, int64 } from "./session.ts"

/** A prompt as it was read: number `at` of those read with it. */
export interface ReadPrompt {
  readonly prompts: PrefilledPrompts
  readonly at: number
}

/** A row that is decoded: the prompt it continues, and how many tokens follow it. */
export interface Continuation<Prompt> {
  readonly prompt: Prompt
  readonly tokens: number
}

/** Prompts are told apart by identity. */
export class SharedPrompts<Prompt> {
  readonly #c: DecoderConfig
  /** Per layer: [prompt, kvHeads, time, D]. */
  readonly #keys: Array<Float32Array>
  readonly #values: Array<Float32Array>
  /** The prompts held, in their order, and their tokens. */
  #held: ReadonlyArray<{ readonly prompt: Prompt; readonly length: number }> = []
  #time = 1
  /** The arrays as feeds, valid as long as they stay in place. */
  #feeds: Feeds | undefined

  constructor(c: DecoderConfig) {
    this.#c = c
    this.#keys = Array.from({ length: c.layers }, () => new Float32Array(c.kvHeads * c.headDim))
    this.#values = this.#keys.slice()
  }

  /**
   * Holds exactly these prompts from now on.
   *
   * @param lengthOf tokens of a prompt
   * @param read reads a prompt that is not held yet
   */
  hold(wanted: ReadonlyArray<Prompt>, lengthOf: (prompt: Prompt) => number, read: (prompt: Prompt) => ReadPrompt): void {
    if (wanted.length === this.#held.length && wanted.every((prompt, n) => prompt === this.#held[n]!.prompt)) return
    const { headDim, kvHeads, layers } = this.#c
    const held = wanted.map((prompt) => ({ prompt, length: lengthOf(prompt) }))
    const time = Math.max(1, ...held.map(({ length }) => length))
    const sources = held.map(({ length, prompt }) => {
      const old = this.#held.findIndex((known) => known.prompt === prompt)
      return old >= 0 ? { length, at: old, fresh: undefined } : { length, at: 0, fresh: read(prompt) }
    })
    // Layer by layer, so that old and new never exist in full at the same time.
    for (let layer = 0; layer < layers; layer++) {
      for (const kind of ["keys", "values"] as const) {
        const own = kind === "keys" ? this.#keys : this.#values
        const made = new Float32Array(Math.max(1, held.length) * kvHeads * time * headDim)
        sources.forEach(({ at, fresh, length }, n) => {
          for (let head = 0; head < kvHeads; head++) {
            const [from, first] = fresh === undefined
              ? [own[layer]!, (at * kvHeads + head) * this.#time]
              : [fresh.prompts[kind], ((layer * fresh.prompts.count + fresh.at) * kvHeads + head) * fresh.prompts.time]
            made.set(from.subarray(first * headDim, (first + length) * headDim), (n * kvHeads + head) * time * headDim)
          }
        })
        own[layer] = made
      }
    }
    this.#held = held
    this.#time = time
    this.#feeds = undefined
  }

  /** What `decode` reads of prompts. If none is held, a prompt that no row sees. */
  feeds(rows: ReadonlyArray<Continuation<Prompt>>): Feeds {
    const { sliding } = this.#c
    const count = Math.max(1, this.#held.length)
    const at = new Map(this.#held.map(({ prompt }, n) => [prompt, n]))
    const slots: Array<Array<number>> = Array.from({ length: count }, () => [])
    const places = rows.map(({ prompt }, row) => {
      const n = at.get(prompt) ?? 0
      return { n, place: slots[n]!.push(row) - 1 }
    })
    const width = Math.max(...slots.map((own) => own.length))
    const mask = (window: number) => {
      const seen = new Float32Array(rows.length * this.#time).fill(-1e9)
      rows.forEach(({ prompt, tokens }, row) => {
        const length = this.#held[at.get(prompt) ?? -1]?.length ?? 0
        seen.fill(0, row * this.#time + Math.min(length, Math.max(0, length + tokens + 1 - window)), row * this.#time + length)
      })
      return float32([rows.length, 1, 1, 1, this.#time], seen)
    }
    this.#feeds ??= this.#arrays()
    return {
      ...this.#feeds,
      slots: int64([count, width], slots.flatMap((own) => Array.from({ length: width }, (_, i) => own[i] ?? 0))),
      places: int64([rows.length], places.map(({ n, place }) => n * width + place)),
      prompt_mask: mask(Infinity),
      ...(sliding === undefined ? {} : { sliding_prompt_mask: mask(sliding.window) })
    }
  }

  #arrays(): Feeds {
    const { headDim, kvHeads, layers } = this.#c
    const shape = [Math.max(1, this.#held.length), kvHeads, this.#time, headDim]
    const feeds: Record<string, Feed> = {}
    for (let i = 0; i < layers; i++) {
      feeds[`prompt_k.${i}`] = float32(shape, this.#keys[i]!)
      feeds[`prompt_v.${i}`] = float32(shape, this.#values[i]!)
    }
    return feeds
  }
}
