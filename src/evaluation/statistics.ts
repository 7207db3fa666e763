/** Shares and differences, their intervals, and how to write them. */
import { integer, random } from "../engine/random.ts"

export interface Interval {
  /** The share itself, in [0, 1]. */
  readonly value: number
  readonly lower: number
  readonly upper: number
}

/** A share in plain text, to a tenth: `62.5 %`. */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

/**
 * Wilson's score interval for a share (Wilson 1927); 0 to 1 when n is 0.
 *
 * @param successes may be fractional: ties count one half. The interval is then slightly too wide, which is the safe side.
 * @param z 1.96 for 95 %
 */
export const wilson = (successes: number, n: number, z = 1.96): Interval => {
  if (n === 0) return { value: 0, lower: 0, upper: 1 }
  const p = successes / n
  const middle = (p + z * z / (2 * n)) / (1 + z * z / n)
  const half = z / (1 + z * z / n) * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  // Exactly 0 and 1 at the ends, where rounding would leave 1e-17 or 0.9999999999999999.
  return { value: p, lower: p === 0 ? 0 : middle - half, upper: p === 1 ? 1 : middle + half }
}

const resamples = 2000

/**
 * The mean of paired differences with its bootstrap interval (Efron 1979): the percentiles of the means of 2000
 * resamples, each as large as the whole. The same seed gives the same interval; -1 to 1 if there is no pair.
 *
 * @param coverage share of the means that lie in the interval
 */
export const pairedBootstrap = (differences: ReadonlyArray<number>, seed: number, coverage = 0.95): Interval => {
  const n = differences.length
  if (n === 0) return { value: 0, lower: -1, upper: 1 }
  const draw = random(seed, 0xb007)
  const means = Float64Array.from({ length: resamples }, () => {
    let sum = 0
    for (let i = 0; i < n; i++) sum += differences[integer(draw, n)]!
    return sum / n
  }).sort()
  const outside = Math.round(resamples * (1 - coverage) / 2)
  return { value: mean(differences), lower: means[outside]!, upper: means[resamples - 1 - outside]! }
}

/** 0 of nothing. */
export const mean = (xs: ReadonlyArray<number>): number => xs.length === 0 ? 0 : xs.reduce((sum, x) => sum + x, 0) / xs.length

/** The upper one of two in the middle; 0 of nothing. */
export const median = (xs: ReadonlyArray<number>): number => xs.toSorted((a, b) => a - b)[Math.floor(xs.length / 2)] ?? 0

/**
 * Cohen's kappa (Cohen 1960): agreement of two raters beyond what their label frequencies give by chance; 1 is perfect,
 * 0 is chance. NaN if both always give one and the same label, or there are no labels.
 */
export const cohenKappa = (labels: ReadonlyArray<readonly [string, string]>): number => {
  const n = labels.length
  const shares = (side: 0 | 1) => {
    const counts = new Map<string, number>()
    for (const pair of labels) counts.set(pair[side], (counts.get(pair[side]) ?? 0) + 1 / n)
    return counts
  }
  const [first, second] = [shares(0), shares(1)]
  const observed = labels.filter(([a, b]) => a === b).length / n
  let chance = 0
  for (const [label, share] of first) chance += share * (second.get(label) ?? 0)
  return chance > 1 - 1e-12 ? NaN : (observed - chance) / (1 - chance)
}

/**
 * The bootstrap interval of Cohen's kappa (95 %): the percentiles of the kappas of 2000 resamples of the labelled things. A
 * resample without a kappa counts as 0, which widens the interval. The same seed gives the same interval.
 */
export const kappaInterval = (labels: ReadonlyArray<readonly [string, string]>, seed: number): { readonly lower: number; readonly upper: number } => {
  const draw = random(seed, 0xca99a)
  const kappas = Float64Array.from({ length: resamples }, () => {
    const kappa = cohenKappa(labels.map(() => labels[integer(draw, labels.length)]!))
    return Number.isNaN(kappa) ? 0 : kappa
  }).sort()
  const outside = Math.round(resamples * 0.025)
  return { lower: kappas[outside]!, upper: kappas[resamples - 1 - outside]! }
}
