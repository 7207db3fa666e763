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

/** log Σ exp x, stable. */
export const logSumExp = (x: Float32Array | Float64Array, from = 0, to = x.length): number => {
  let max = -Infinity
  for (let i = from; i < to; i++) if (x[i]! > max) max = x[i]!
  let sum = 0
  for (let i = from; i < to; i++) sum += Math.exp(x[i]! - max)
  return max + Math.log(sum)
}

/**
 * Probabilities after all filters, [vocab], summing to 1.
 *
 * @param logits [vocab], not changed
 * @param seen tokens of the sequence so far, for the repetition penalty
 */
export const probabilities = (
  logits: Float32Array,
  options: SamplingOptions,
  seen: Iterable<number> = []
): Float64Array => {
  const x = Float64Array.from(logits)
  if (options.repetitionPenalty !== 1) {
    for (const id of new Set(seen)) {
      x[id] = x[id]! < 0 ? x[id]! * options.repetitionPenalty : x[id]! / options.repetitionPenalty
    }
  }
  if (options.temperature === 0) {
    const best = x.indexOf(x.reduce((a, b) => Math.max(a, b), -Infinity))
    return x.fill(0).fill(1, best, best + 1)
  }
  if (options.temperature !== 1) for (let i = 0; i < x.length; i++) x[i]! /= options.temperature
  if (options.topK > 0 && options.topK < x.length) {
    const threshold = x.slice().sort()[x.length - options.topK]!
    for (let i = 0; i < x.length; i++) if (x[i]! < threshold) x[i] = -Infinity
  }
  softmax(x)
  return narrow(x, options)
}

/** Top_p, then min_p, in place. @param x [vocab], summing to 1 */
const narrow = (x: Float64Array, { minP, topP }: SamplingOptions): Float64Array => {
  if (topP < 1) {
    nucleus(x, topP)
    renormalise(x)
  }
  if (minP > 0) {
    const floor = minP * x.reduce((a, b) => Math.max(a, b), 0)
    for (let i = 0; i < x.length; i++) if (x[i]! < floor) x[i] = 0
    renormalise(x)
  }
  return x
}

/** What is drawn from where a graph has applied the temperature. @param probability [vocab], not changed */
export const narrowed = (probability: Float32Array, options: SamplingOptions): Float32Array | Float64Array =>
  options.topP === 1 && options.minP === 0 ? probability : narrow(Float64Array.from(probability), options)

/**
 * Ascending, tokens whose cumulated share stays within 1 - p go; the likeliest always stays. Those below an equal share of
 * 1 - p go in any case, and only the others, which are few, are sorted.
 */
const nucleus = (x: Float64Array, topP: number): void => {
  const equal = (1 - topP) / x.length
  const rest: Array<number> = []
  let sum = 0
  for (let i = 0; i < x.length; i++) {
    if (x[i]! > equal) rest.push(i)
    else {
      sum += x[i]!
      x[i] = 0
    }
  }
  rest.sort((a, b) => x[a]! - x[b]!)
  for (const id of rest.slice(0, -1)) {
    sum += x[id]!
    if (sum > 1 - topP) break
    x[id] = 0
  }
}

const softmax = (x: Float64Array): void => {
  const total = logSumExp(x)
  for (let i = 0; i < x.length; i++) x[i] = Math.exp(x[i]! - total)
}

const renormalise = (x: Float64Array): void => {
  const sum = x.reduce((a, b) => a + b, 0)
  for (let i = 0; i < x.length; i++) x[i]! /= sum
}

/** The token at which the cumulated probability passes `uniform` in [0, 1). */
export const choose = (probability: Float32Array | Float64Array, uniform: number): number => {
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
