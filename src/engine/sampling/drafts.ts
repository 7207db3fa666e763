/**
 * Drafts of what follows, from earlier sequences of the same kind: no model, but counts of what came after the last tokens
 * (Oliaro et al. 2024, SuffixDecoding, arXiv:2411.04975; here up to four of them, which foretold as much as eight did).
 */

export interface DraftOptions {
  /** Most tokens of a draft. */
  readonly most: number
  /** Tokens are in [0, vocab). */
  readonly vocab: number
}

/** Most tokens of a context. */
const longest = 4

/** Most tokens that are counted: 12 MB of counts. */
export const historyTokens = 2 ** 16

/**
 * A draft ends before the token that would make it less likely than this, as counts say. On drawings of the embedded policy 2.0 tokens
 * are then drawn a forward, and 1.35 read for each; without it, 2.3 and 3.3.
 */
const leastLikely = 0.4

/** Stands for the places before a sequence. */
const before = -1

/** Multiplies and mixes, as in MurmurHash3's finalizer. Two contexts that share a hash only make a draft worse. */
const mixed = (hash: number, token: number): number => {
  let h = Math.imul(hash ^ (token + 2), 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** Finds the place of a hash, which is not 0, by open addressing. */
class Places {
  /** 0 where a place is empty. */
  readonly #hashes: Int32Array

  /** @param size a power of two, over the number of hashes that are taken */
  constructor(size: number) {
    this.#hashes = new Int32Array(size)
  }

  /** Where it is, or the empty place that it would take. */
  of(hash: number): number {
    const last = this.#hashes.length - 1
    let place = hash & last
    while (this.#hashes[place] !== 0 && this.#hashes[place] !== hash) place = (place + 1) & last
    return place
  }

  take(hash: number): number {
    const place = this.of(hash)
    this.#hashes[place] = hash
    return place
  }
}

/** What it proposes depends on nothing but the sequences and their order. */
export class Drafts {
  readonly #most: number
  readonly #contexts: Places
  /** By context: how often it was seen, what followed most often, and how often that did. */
  readonly #seen: Uint32Array
  readonly #next: Int32Array
  readonly #agreed: Uint32Array

  /**
   * Takes time linear in the tokens that are counted, `historyTokens` at most.
   *
   * @param sequences newest first: of two tokens that followed as often, the one that newer sequences have is proposed. A
   * sequence with a token that does not exist is left out.
   */
  constructor(sequences: Iterable<ReadonlyArray<number>>, { most, vocab }: DraftOptions) {
    this.#most = most
    const kept: Array<ReadonlyArray<number>> = []
    let tokens = 0
    for (const ids of sequences) {
      if (tokens >= historyTokens) break
      if (!ids.every((id) => Number.isInteger(id) && id >= 0 && id < vocab)) continue
      kept.push(ids.slice(0, historyTokens - tokens))
      tokens += ids.length
    }
    const size = 2 ** Math.ceil(Math.log2(2 * longest * Math.min(tokens, historyTokens) + 2))
    this.#contexts = new Places(size)
    this.#seen = new Uint32Array(size)
    this.#next = new Int32Array(size)
    this.#agreed = new Uint32Array(size)
    const pairs = new Places(size)
    const counts = new Uint32Array(size)
    for (const ids of kept) {
      for (let t = 0; t < ids.length; t++) {
        const next = ids[t]!
        for (const hash of contexts((back) => ids[t - back] ?? before)) {
          const place = this.#contexts.take(hash)
          const count = ++counts[pairs.take(mixed(hash, next) || 1)]!
          this.#seen[place]!++
          if (count <= this.#agreed[place]!) continue
          this.#next[place] = next
          this.#agreed[place] = count
        }
      }
    }
  }

  /** @param ids a sequence so far @param room most tokens that may follow it @returns what may follow, at most `most` tokens */
  propose(ids: ReadonlyArray<number>, room = this.#most): ReadonlyArray<number> {
    const draft: Array<number> = []
    const length = ids.length
    let likely = 1
    while (draft.length < Math.min(room, this.#most)) {
      const t = length + draft.length
      const at = (place: number): number => place < length ? ids[place] ?? before : draft[place - length]!
      const known = contexts((back) => at(t - back)).findLast((hash) => this.#seen[this.#contexts.of(hash)]! > 0)
      if (known === undefined) break
      const place = this.#contexts.of(known)
      likely *= this.#agreed[place]! / (this.#seen[place]! + 0.5) // what was seen once is not certain
      if (likely < leastLikely) break
      draft.push(this.#next[place]!)
    }
    return draft
  }
}

/** Hashes, not 0, of the last token, the last two, ... @param back the token so many places before */
const contexts = (back: (places: number) => number): ReadonlyArray<number> => {
  const hashes: Array<number> = []
  let hash = 0x9747b28c
  for (let n = 1; n <= longest; n++) {
    hash = mixed(hash, back(n))
    hashes.push(hash || 1)
  }
  return hashes
}
