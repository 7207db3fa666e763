/** From one row of logits to one token, with transformers' filters in transformers' order. */

export interface SamplingOptions {
  /** > 0; 1 draws from the policy itself. 0 is greedy. */
  readonly temperature: number
  /** Keep the k likeliest tokens; 0 keeps all. */
  readonly topK: number
  /** Keep the smallest set of tokens whose probability reaches p; 1 keeps all. */
  readonly topP: number
  /** Drop tokens below this share of the likeliest one's probability; 0 keeps all. */
  readonly minP: number
  /** > 1 makes tokens already in the sequence less likely (Keskar et al. 2019, arXiv:1909.05858); 1 is off. */
  readonly repetitionPenalty: number
}

export const plain: SamplingOptions = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 }

/** Whether tokens are drawn from the policy itself. */
export const isPlain = (o: SamplingOptions): boolean => o.temperature === 1 && o.minP === 0 && isSimple(o)

const isSimple = (o: SamplingOptions): boolean => o.topK === 0 && o.topP === 1 && o.repetitionPenalty === 1

/**
 * Whether a graph's probabilities say what tokens are drawn from, with no filter after the temperature but top_p and min_p.
 * Above temperature 1, a token may be drawn whose probability at temperature 1 is 0 in float32.
 */
export const isOfProbabilities = (o: SamplingOptions): boolean =>
  o.temperature > 0 && o.temperature <= 1 && o.topK === 0 && o.repetitionPenalty === 1

type Numbers = Float32Array | Float64Array

/** log Σ exp x, stable. */
export const logSumExp = (x: Numbers, from = 0, to = x.length): number => {
  let max = -Infinity
  for (let i = from; i < to; i++) if (x[i]! > max) max = x[i]!
  let sum = 0
  for (let i = from; i < to; i++) sum += Math.exp(x[i]! - max)
  return max + Math.log(sum)
}

/** What is left to draw from. */
export interface Kept {
  /** Tokens, ascending. */
  readonly ids: Int32Array
  /** The probability of each, summing to 1. */
  readonly shares: Float64Array
}

/**
 * What all filters leave.
 *
 * @param logits [vocab], not changed
 * @param seen tokens of the sequence so far, for the repetition penalty
 */
export const keptOf = (logits: Float32Array, options: SamplingOptions, seen: Iterable<number> = []): Kept => {
  const { minP, repetitionPenalty, temperature, topK, topP } = options
  const x = repetitionPenalty === 1 ? logits : logits.slice()
  if (x !== logits) for (const id of new Set(seen)) x[id] = x[id]! < 0 ? x[id]! * repetitionPenalty : x[id]! / repetitionPenalty
  if (temperature === 0) return { ids: Int32Array.of(x.indexOf(largest(x))), shares: Float64Array.of(1) }
  const ids = atLeast(x, topK > 0 && topK < x.length ? nthLargest(x, topK) : -Infinity)
  const shares = at(x, ids)
  if (temperature !== 1) for (let i = 0; i < shares.length; i++) shares[i]! /= temperature
  const total = logSumExp(shares)
  for (let i = 0; i < shares.length; i++) shares[i] = Math.exp(shares[i]! - total)
  return overFloor(topP < 1 ? only({ ids, shares }, nucleus(shares, topP)) : { ids, shares }, minP)
}

/** What is drawn from where a graph has applied the temperature: top_p, then min_p. @param probability [vocab], not changed */
export const narrowed = (probability: Float32Array, { minP, topP }: SamplingOptions): Kept => {
  const ids = topP < 1 ? nucleus(probability, topP) : atLeast(probability, minP * largest(probability))
  const kept = renormalised(ids, at(probability, ids))
  return topP < 1 ? overFloor(kept, minP) : kept
}

/** Min_p. */
const overFloor = (kept: Kept, minP: number): Kept =>
  minP > 0 ? only(kept, atLeast(kept.shares, minP * largest(kept.shares))) : kept

const only = ({ ids, shares }: Kept, places: Int32Array): Kept => renormalised(places.map((place) => ids[place]!), at(shares, places))

const renormalised = (ids: Int32Array, shares: Float64Array): Kept => {
  let sum = 0
  for (let i = 0; i < shares.length; i++) sum += shares[i]!
  for (let i = 0; i < shares.length; i++) shares[i]! /= sum
  return { ids, shares }
}

const at = (x: Numbers, places: Int32Array): Float64Array => {
  const those = new Float64Array(places.length)
  for (let i = 0; i < places.length; i++) those[i] = x[places[i]!]!
  return those
}

const largest = (x: Numbers): number => {
  let most = -Infinity
  for (let i = 0; i < x.length; i++) if (x[i]! > most) most = x[i]!
  return most
}

/** Places, ascending. */
const atLeast = (x: Numbers, floor: number): Int32Array => {
  const places = new Int32Array(x.length)
  let count = 0
  for (let i = 0; i < x.length; i++) if (x[i]! >= floor) places[count++] = i
  return places.subarray(0, count)
}

// A vocabulary has up to 10^5 tokens, and to sort them all takes longer than a small model's forward. So nothing here does.

/** @param n in [1, x.length] */
const nthLargest = (x: Numbers, n: number): number => {
  const best = new Float64Array(2 * n).fill(-Infinity)
  let count = 0
  let floor = -Infinity
  const cut = () => {
    best.subarray(0, count).sort().reverse()
    count = n
    floor = best[n - 1]!
  }
  for (let i = 0; i < x.length; i++) {
    if (x[i]! <= floor) continue
    best[count++] = x[i]!
    if (count === best.length) cut()
  }
  cut()
  return floor
}

/**
 * Places of what top_p leaves, ascending: from the least on, those whose cumulated share stays within 1 - p go; the likeliest
 * always stays. Of equal ones the first goes first. Those below an equal share of 1 - p go in any case, unsorted.
 *
 * @param x >= 0, summing to 1
 */
const nucleus = (x: Numbers, topP: number): Int32Array => {
  const places = atLeast(x, Math.min((1 - topP) / x.length, largest(x)))
  const rest = at(x, places)
  let sum = 0
  for (let i = 0; i < rest.length; i++) sum += rest[i]!
  const { equal, least } = cutOff(rest, sum - topP)
  let left = 0
  let skipped = 0
  for (let i = 0; i < places.length; i++) {
    const value = x[places[i]!]!
    if (value > least || (value === least && skipped++ >= equal)) places[left++] = places[i]!
  }
  return places.subarray(0, left)
}

/**
 * The least number that stays where those go, from the least on, whose sum stays within `limit`, and how many equal to it go. The
 * greatest always stays. Quickselect (Hoare 1961) by sums.
 *
 * @param x not empty; reordered
 */
const cutOff = (x: Float64Array, limit: number): { readonly least: number; readonly equal: number } => {
  let sum = 0
  for (let from = 0, to = x.length;;) {
    const pivot = middle(x[from]!, x[(from + to) >> 1]!, x[to - 1]!)
    let less = from
    let more = to
    let sumLess = 0
    for (let i = from; i < more;) {
      const value = x[i]!
      if (value < pivot) {
        sumLess += value
        x[i++] = x[less]!
        x[less++] = value
      } else if (value > pivot) {
        x[i] = x[--more]!
        x[more] = value
      } else i++
    }
    if (less > from && sum + sumLess > limit) {
      to = less
      continue
    }
    sum += sumLess
    const equal = Math.floor((limit - sum) / pivot)
    if (equal < more - less) return { least: pivot, equal: Math.max(0, equal) }
    if (more === to) return { least: pivot, equal: more - less - 1 }
    sum += pivot * (more - less)
    from = more
  }
}

const middle = (a: number, b: number, c: number): number => Math.max(Math.min(a, b), Math.min(Math.max(a, b), c))

/** The place at which the cumulated probability passes `uniform` in [0, 1). */
export const choose = (probability: Numbers, uniform: number): number => {
  let sum = 0
  let last = 0
  for (let i = 0; i < probability.length; i++) {
    if (probability[i] === 0) continue
    sum += probability[i]!
    last = i
    if (uniform < sum) return i
  }
  return last // rounding left the sum a hair under 1
}
