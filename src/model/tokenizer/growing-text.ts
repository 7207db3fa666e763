/** The text of a completion that grows by tokens, given out as soon as it is certain. */

/** Undecoded bytes at the end of a text: the rest of the character comes with a later token. */
const unfinished = "\uFFFD"

/**
 * Only the last tokens are decoded anew at each step, with those before them for the decoder's rules about neighbours (the
 * two offsets of vLLM's `detokenize_incrementally`), so a long text costs no more a token than a short one.
 */
export class GrowingText {
  readonly #decode: (ids: ReadonlyArray<number>) => string
  readonly #stops: ReadonlyArray<string>
  readonly #longest: number
  readonly #ids: Array<number> = []
  #from = 0
  #read = 0
  /** Decoded and not given out: it might be the beginning of a stop text. */
  #held = ""
  /** A stop text was met: nothing follows. */
  #cut = false

  /** @param stops texts at which the text ends, without them */
  constructor(decode: (ids: ReadonlyArray<number>) => string, stops: ReadonlyArray<string>) {
    this.#decode = decode
    this.#stops = stops
    this.#longest = Math.max(0, ...stops.map(({ length }) => length))
  }

  /** What these tokens add to the text. @param last whether no more will come */
  add(ids: ReadonlyArray<number>, last: boolean): string {
    this.#ids.push(...ids)
    const known = this.#decode(this.#ids.slice(this.#from, this.#read))
    const all = this.#decode(this.#ids.slice(this.#from))
    if (last || !all.endsWith(unfinished)) {
      this.#held += all.slice(known.length)
      this.#from = this.#read
      this.#read = this.#ids.length
    }
    return this.#give(last)
  }

  #give(last: boolean): string {
    if (this.#cut) return ""
    const at = this.#stops.map((stop) => this.#held.indexOf(stop)).filter((at) => at >= 0)
    this.#cut = at.length > 0
    const to = this.#cut ? Math.min(...at) : last ? this.#held.length : this.#certain()
    const given = this.#held.slice(0, to)
    this.#held = this.#held.slice(to)
    return given
  }

  /** Characters that no stop text begins with. */
  #certain(): number {
    for (let from = Math.max(0, this.#held.length - this.#longest + 1); from < this.#held.length; from++) {
      const end = this.#held.slice(from)
      if (this.#stops.some((stop) => stop.startsWith(end))) return from
    }
    return this.#held.length
  }
}
