/**
 * Keys and values of the sequences that are decoded together, in plain arrays. onnxruntime reads them in place and
 * returns only the new token's, which are written into them here (GroupQueryAttention would copy the whole cache out of
 * every run). If rows share a prompt, the cache holds only what comes after it.
 */
import type { DecoderConfig } from "../../src/engine/nets/transformer.ts"
import { type Feed, type Feeds, float32, int64 } from "./session.ts"

/** Keys and values of some prompts, as `prefill` returns them. */
export interface PrefilledPrompts {
  /** [layers, prompt, kvHeads, time, D] each. */
  readonly keys: Float32Array
  readonly values: Float32Array
  readonly count: number
  readonly time: number
}

/** What a row keeps of the tokens of a run: `count` of them, from number `from` on. */
export interface Taken {
  readonly row: number
  readonly from: number
  readonly count: number
}

/** The fewest places a cache grows by, tokens. */
const growth = 32

export class KeyValueCache {
  readonly #c: DecoderConfig
  /** Per layer: [row, kvHeads, capacity, D]. */
  readonly #keys: Array<Float32Array>
  readonly #values: Array<Float32Array>
  #capacity = growth
  /** Tokens that each row holds. */
  #lengths: Array<number> = []
  /** The arrays as feeds, valid as long as they stay in place. */
  #feeds: Feeds | undefined

  constructor(c: DecoderConfig) {
    this.#c = c
    this.#keys = Array.from({ length: c.layers }, () => new Float32Array(0))
    this.#values = this.#keys.slice()
  }

  /** Makes row i a copy of the former row `from[i]`, or empty if that is undefined. */
  arrange(from: ReadonlyArray<number | undefined>, capacity = this.#capacity): void {
    const { headDim, kvHeads } = this.#c
    const moved = (old: Float32Array) => {
      const made = new Float32Array(from.length * kvHeads * capacity * headDim)
      from.forEach((row, i) => {
        if (row === undefined) return
        const used = this.#lengths[row]! * headDim
        for (let head = 0; head < kvHeads; head++) {
          const start = (row * kvHeads + head) * this.#capacity * headDim
          made.set(old.subarray(start, start + used), (i * kvHeads + head) * capacity * headDim)
        }
      })
      return made
    }
    // Layer by layer, so that old and new never exist in full at the same time.
    for (let i = 0; i < this.#c.layers; i++) {
      this.#keys[i] = moved(this.#keys[i]!)
      this.#values[i] = moved(this.#values[i]!)
    }
    this.#feeds = undefined
    this.#lengths = from.map((row) => (row === undefined ? 0 : this.#lengths[row]!))
    this.#capacity = capacity
  }

  /** Starts a row again, empty: the prompt it continues is held elsewhere (shared-prompts.ts). */
  beginEmpty(row: number): void {
    this.#lengths[row] = 0
  }

  /** Starts a row again, after the first `length` tokens of prompt `n`. */
  begin(row: number, { count, keys, time, values }: PrefilledPrompts, n: number, length: number): void {
    const { headDim, kvHeads, layers } = this.#c
    this.#lengths[row] = 0
    this.#reserve(length + 1)
    for (let i = 0; i < layers; i++) {
      for (let head = 0; head < kvHeads; head++) {
        const start = ((i * count + n) * kvHeads + head) * time * headDim
        const at = (row * kvHeads + head) * this.#capacity * headDim
        this.#keys[i]!.set(keys.subarray(start, start + length * headDim), at)
        this.#values[i]!.set(values.subarray(start, start + length * headDim), at)
      }
    }
    this.#lengths[row] = length
  }

  /** What `decode` reads, without a place for the new token. Rows see everything they hold, or a sliding window of it. */
  feeds(): Feeds {
    return this.#withMask(0, [...this.#lengths.keys()].map((row) => ({ row, place: 0 })))
  }

  /** What `verify` reads. @param counts tokens that each row reads in this run, at least one of all */
  feedsOf(counts: ReadonlyArray<number>): Feeds {
    const time = Math.max(...counts)
    const read = counts.flatMap((count, row) => Array.from({ length: count }, (_, place) => ({ row, place })))
    const places = Array.from({ length: counts.length * time }, () => 0)
    read.forEach(({ place, row }, n) => (places[row * time + place] = n))
    return {
      ...this.#withMask(time, read),
      read: int64([counts.length, time], places),
      read_at: int64([read.length], read.map(({ place, row }) => row * time + place))
    }
  }

  /** @param time places of a run's own tokens that a token may see @param read each token, and which it is of its row's */
  #withMask(time: number, read: ReadonlyArray<{ readonly row: number; readonly place: number }>): Feeds {
    const { sliding } = this.#c
    const width = this.#capacity + time
    const mask = (window: number) => {
      const seen = new Float32Array(read.length * width).fill(-1e9)
      read.forEach(({ place, row }, n) => {
        const length = this.#lengths[row]!
        const first = Math.max(0, length + place + 1 - window)
        seen.fill(0, n * width + Math.min(first, length), n * width + length)
        if (time > 0) seen.fill(0, n * width + this.#capacity + Math.max(0, first - length), n * width + this.#capacity + place + 1)
      })
      return float32([read.length, 1, 1, 1, width], seen)
    }
    this.#feeds ??= this.#arrays()
    return { ...this.#feeds, mask: mask(Infinity), ...(sliding === undefined ? {} : { sliding_mask: mask(sliding.window) }) }
  }

  #arrays(): Feeds {
    const { headDim, kvHeads, layers } = this.#c
    const shape = [this.#lengths.length, kvHeads, 1, this.#capacity, headDim]
    const feeds: Record<string, Feed> = {}
    for (let i = 0; i < layers; i++) {
      feeds[`past_k.${i}`] = float32(shape, this.#keys[i]!)
      feeds[`past_v.${i}`] = float32(shape, this.#values[i]!)
    }
    return feeds
  }

  /**
   * Stores keys and values of new tokens, each [layers, token, kvHeads, 1, D]. A row that takes none, as one that has ended, takes
   * no more room, however long it keeps its place.
   */
  push(keys: Float32Array, values: Float32Array, taken: ReadonlyArray<Taken>): void {
    const { headDim, kvHeads, layers } = this.#c
    const tokens = keys.length / (layers * kvHeads * headDim)
    this.#reserve(Math.max(...taken.map(({ count, row }) => this.#lengths[row]! + count)))
    for (let i = 0; i < layers; i++) {
      for (const { count, from, row } of taken) {
        for (let n = 0; n < count; n++) {
          for (let head = 0; head < kvHeads; head++) {
            const start = ((i * tokens + from + n) * kvHeads + head) * headDim
            const at = ((row * kvHeads + head) * this.#capacity + this.#lengths[row]! + n) * headDim
            this.#keys[i]!.set(keys.subarray(start, start + headDim), at)
            this.#values[i]!.set(values.subarray(start, start + headDim), at)
          }
        }
      }
    }
    for (const { count, row } of taken) this.#lengths[row]! += count
  }

  /** Gives back the room of long rows that have left, once it is at least half of all: every change copies everything. */
  trim(): void {
    const wanted = Math.ceil((Math.max(...this.#lengths) + 1) / growth) * growth
    if (this.#capacity >= 2 * wanted) this.arrange([...this.#lengths.keys()], wanted)
  }

  /** Makes room for `length` tokens a row. Grows by at least an eighth: every growth copies everything. */
  #reserve(length: number): void {
    if (length <= this.#capacity) return
    const wanted = Math.max(length, this.#capacity + growth, Math.ceil(this.#capacity * 9 / 8))
    this.arrange([...this.#lengths.keys()], Math.ceil(wanted / growth) * growth)
  }
}
