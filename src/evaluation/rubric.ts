/**
 * Learns from people's votes how much each criterion of a judge counts (as AutoRubric and RewardHarness do): a regularised
 * Bradley-Terry model whose strengths are weighted sums of the criteria's values. Plain functions of numbers.
 */
import { integer, random } from "../engine/random.ts"
import { inverseOf } from "../lessons/bradley-terry.ts"
import { type Range, shareOfRange } from "../lessons/terms.ts"
import { type Interval, mean, pairedBootstrap } from "./statistics.ts"

export interface Criterion {
  readonly name: string
  /** Its weight so far; weights are shares of their sum. */
  readonly weight: number
  /** The scores at which it is worth 0 and 1. Without one, the middle nine tenths of its scores are taken. */
  readonly range?: Range | undefined
}

/** Two drawings of a prompt, what a person said, and what the criteria say. */
export interface VotedPair {
  readonly prompt: string
  /** 1: A is better, 0: B is, 0.5: neither. */
  readonly win: number
  /** The same from the judge as it is. */
  readonly judged: number
  /** `[criterion]`, each in its own unit. */
  readonly a: ReadonlyArray<number>
  readonly b: ReadonlyArray<number>
}

export interface LearnedCriterion {
  readonly name: string
  /** Share of the sum of all weights, before and after, >= 0. */
  readonly before: number
  readonly after: number
  /** Of `after`, from the curvature at the optimum, in the same unit. */
  readonly standardError: number
  /** A criterion that counts the other way round than its range said has it turned. */
  readonly range: Range
}

export interface Rubric {
  readonly criteria: ReadonlyArray<LearnedCriterion>
  /** Worths closer than this are a tie: as many pairs tie as people could not decide. A share of 1. */
  readonly tieMargin: number
}

export interface Learned extends Rubric {
  /** Votes that chose one drawing, and how often judge and person agree on them; a judge's tie counts half. */
  readonly votes: number
  readonly before: number
  /** Each vote by a rubric that was learned without the votes on its prompt. */
  readonly after: number
  readonly difference: Interval
}

/**
 * Ridge logistic regression without intercept, by Newton's method:
 *
 *      minimise  -Σ_i [w_i ln σ(β·x_i) + (1 - w_i) ln σ(-β·x_i)] + l2/2 |β|²
 *
 * Swapping the two sides of a pair (x to -x, w to 1 - w) changes nothing, so there is no advantage of a side.
 *
 * @param x `[pair][criterion]` value of A minus value of B
 * @param w `[pair]` in [0, 1]: 1 A won, 0.5 a tie
 * @param l2 precision of the Gaussian prior around 0, > 0: what is not seen counts nothing
 */
export const ridgeLogistic = (x: ReadonlyArray<ReadonlyArray<number>>, w: ReadonlyArray<number>, l2: number) => {
  const n = x[0]?.length ?? 0
  let beta = new Float64Array(n)
  const curvature = (at: Float64Array) => {
    const gradient = Float64Array.from(at, (b) => -l2 * b)
    const hessian = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? l2 : 0)))
    x.forEach((row, k) => {
      const p = 1 / (1 + Math.exp(-row.reduce((sum, value, i) => sum + value * at[i]!, 0)))
      for (let i = 0; i < n; i++) {
        gradient[i]! += (w[k]! - p) * row[i]!
        for (let j = 0; j < n; j++) hessian[i]![j]! += p * (1 - p) * row[i]! * row[j]!
      }
    })
    return { gradient, inverse: inverseOf(hessian) }
  }
  for (let iteration = 0; iteration < 100; iteration++) {
    const { gradient, inverse } = curvature(beta)
    const step = inverse.map((row) => row.reduce((sum, value, j) => sum + value * gradient[j]!, 0))
    const length = Math.max(0, ...step.map(Math.abs))
    beta = beta.map((b, i) => b + step[i]! * Math.min(1, 2 / length))
    if (length < 1e-12) break
  }
  const { inverse } = curvature(beta)
  return { beta: Array.from(beta), standardError: inverse.map((row, i) => Math.sqrt(row[i]!)) }
}

const quantile = (sorted: ReadonlyArray<number>, q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!

/** The criterion's own range, or the middle nine tenths of its scores. */
const rangeOf = ({ range }: Criterion, scores: ReadonlyArray<number>): Range => {
  if (range !== undefined) return range
  const sorted = scores.toSorted((a, b) => a - b)
  const [low, high] = [quantile(sorted, 0.05), quantile(sorted, 0.95)]
  return low < high ? [low, high] : [low, low + 1]
}

const rangesOf = (criteria: ReadonlyArray<Criterion>, pairs: ReadonlyArray<VotedPair>): ReadonlyArray<Range> =>
  criteria.map((criterion, c) => rangeOf(criterion, pairs.flatMap(({ a, b }) => [a[c]!, b[c]!])))

const differencesOf = (pairs: ReadonlyArray<VotedPair>, ranges: ReadonlyArray<Range>) =>
  pairs.map(({ a, b }) => ranges.map((range, c) => shareOfRange(a[c]!, range) - shareOfRange(b[c]!, range)))

/** Worth of A minus worth of B, both in [0, 1], by a rubric. */
const worthGap = ({ criteria }: Rubric, { a, b }: VotedPair): number =>
  criteria.reduce((sum, { after, range }, c) => sum + after * (shareOfRange(a[c]!, range) - shareOfRange(b[c]!, range)), 0)

const learn = (pairs: ReadonlyArray<VotedPair>, criteria: ReadonlyArray<Criterion>, l2: number): Rubric => {
  const ranges = rangesOf(criteria, pairs)
  const { beta, standardError } = ridgeLogistic(differencesOf(pairs, ranges), pairs.map(({ win }) => win), l2)
  const whole = beta.reduce((sum, b) => sum + Math.abs(b), 0) || 1
  const given = criteria.reduce((sum, { weight }) => sum + weight, 0)
  const learned = criteria.map(({ name, weight }, c): LearnedCriterion => ({
    name,
    before: weight / given,
    after: Math.abs(beta[c]!) / whole,
    standardError: standardError[c]! / whole,
    range: beta[c]! < 0 ? [ranges[c]![1], ranges[c]![0]] : ranges[c]!
  }))
  const rubric = { criteria: learned, tieMargin: 0 }
  const gaps = pairs.map((pair) => Math.abs(worthGap(rubric, pair))).toSorted((a, b) => a - b)
  const undecided = pairs.filter(({ win }) => win === 0.5).length
  return { ...rubric, tieMargin: undecided === 0 ? 0 : gaps[undecided - 1]! }
}

const verdictOf = (rubric: Rubric, pair: VotedPair): number => {
  const gap = worthGap(rubric, pair)
  return Math.abs(gap) <= rubric.tieMargin ? 0.5 : gap > 0 ? 1 : 0
}

/** Of a vote that chose one drawing: 1 agreed, 0 not, a tie half. */
const agrees = (win: number, verdict: number): number => 1 - Math.abs(win - verdict)

/** Prompts dealt out to folds by chance, so that a rubric never knows a vote on the prompt that it is tried on. */
const foldsOf = (pairs: ReadonlyArray<VotedPair>, folds: number, seed: number): ReadonlyMap<string, number> => {
  const prompts = [...new Set(pairs.map(({ prompt }) => prompt))]
  const draw = random(seed, 0xf01d)
  for (let i = prompts.length - 1; i > 0; i--) {
    const j = integer(draw, i + 1)
    ;[prompts[i], prompts[j]] = [prompts[j]!, prompts[i]!]
  }
  return new Map(prompts.map((prompt, n) => [prompt, n % folds]))
}

export interface LearnOptions {
  /** Precision of the prior, > 0. Default 1. */
  readonly l2?: number
  /** Parts of the votes, each tried with what the others teach; >= 2. Default 5. */
  readonly folds?: number
  readonly seed?: number
}

/**
 * The rubric of all votes, and what it would have been worth on votes that it was not learned from.
 * @param pairs of at least two prompts
 */
export const learnRubric = (
  pairs: ReadonlyArray<VotedPair>,
  criteria: ReadonlyArray<Criterion>,
  { folds = 5, l2 = 1, seed = 0 }: LearnOptions = {}
): Learned => {
  const foldOf = foldsOf(pairs, Math.min(folds, new Set(pairs.map(({ prompt }) => prompt)).size), seed)
  const rubrics = new Map([...new Set(foldOf.values())].map((fold) =>
    [fold, learn(pairs.filter(({ prompt }) => foldOf.get(prompt) !== fold), criteria, l2)]))
  const decided = pairs.filter(({ win }) => win !== 0.5)
  const before = decided.map(({ judged, win }) => agrees(win, judged))
  const after = decided.map((pair) => agrees(pair.win, verdictOf(rubrics.get(foldOf.get(pair.prompt)!)!, pair)))
  return {
    ...learn(pairs, criteria, l2),
    votes: decided.length,
    before: mean(before),
    after: mean(after),
    difference: pairedBootstrap(after.map((value, n) => value - before[n]!), seed)
  }
}
