/**
 * Counter-based randomness: every draw is a hash of (seed, counters), so no generator state exists that a resumed run
 * would have to restore, and the order in which concurrent work happens cannot change a number.
 *
 * The mixer is the 32-bit finaliser of MurmurHash3 (Appleby 2011), chained over the counters. Not for cryptography.
 */

const mix = (h: number): number => {
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** An unsigned 32-bit hash of the integers given; the order matters. */
export const hash32 = (...words: ReadonlyArray<number>): number => {
  let h = 0x9e3779b9
  for (const word of words) {
    h = mix((Math.imul(h, 5) + 0xe6546b64) ^ mix(word | 0))
    h = mix(h ^ Math.floor(word / 0x1_0000_0000))
  }
  return h
}

/** One number in [0, 1), 53 random bits, from the counters alone. */
export const uniformAt = (...counters: ReadonlyArray<number>): number => {
  const h = hash32(...counters)
  return ((h >>> 5) * 0x400_0000 + (mix(h ^ 0x5bf03635) >>> 6)) / 0x20_0000_0000_0000
}

/** Draws numbers in [0, 1) one after the other: the n-th is `uniformAt(...counters, n)`. */
export type Random = () => number

export const random = (...counters: ReadonlyArray<number>): Random => {
  const key = hash32(...counters)
  let n = 0
  return () => uniformAt(key, n++)
}

/** An integer in [0, below). */
export const integer = (draw: Random, below: number): number => Math.floor(draw() * below)

/** One element; all are equally likely. */
export const pick = <A>(draw: Random, choices: ReadonlyArray<A>): A => choices[integer(draw, choices.length)]!

/** A standard normal deviate (Box & Muller 1958). */
export const gaussian = (draw: Random): number =>
  Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw())

/** A new array in random order (Fisher & Yates). */
export const shuffled = <A>(draw: Random, items: ReadonlyArray<A>): Array<A> => {
  const out = items.slice()
  for (let i = out.length - 1; i > 0; i--) {
    const j = integer(draw, i + 1)
    const held = out[i]!
    out[i] = out[j]!
    out[j] = held
  }
  return out
}

/** A text as counters of a hash. */
export const wordsOf = (text: string): ReadonlyArray<number> => Array.from(text, (char) => char.codePointAt(0)!)
