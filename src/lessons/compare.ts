/**
 * Which pairs of one prompt's drawings the judge is asked about, and in what order. Fewer comparisons cost less; all of
 * them say the most.
 */
import { Effect } from "effect"
import type { Drawing, JudgedPair, Prompt } from "../domain.ts"
import { random, shuffled } from "../engine/random.ts"
import { decide, decideTogether } from "./decide.ts"
import type { ComparisonOptions } from "./options.ts"
import { winRates } from "./order.ts"
import { allPairs, type DrawingPair, isDuplicate } from "./pairs.ts"
import { Judge, type JudgeStopped } from "../stages/Judge.ts"

/** Limits how many judgments are under way. */
export type InTurn = <A, E, R>(judgment: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const inOrder = ([a, b]: DrawingPair): DrawingPair => (a.candidate.index < b.candidate.index ? [a, b] : [b, a])

/**
 * The pairs of one prompt that are decided: no duplicates, and at most `limit` of the rest, drawn at random by
 * hash(seed, step, prompt) and kept in the order i < j.
 */
const pairsToDecide = (
  drawings: ReadonlyArray<Drawing>,
  limit: number | undefined,
  counters: ReadonlyArray<number>
): ReadonlyArray<DrawingPair> => {
  const pairs = allPairs(drawings).filter((pair) => !isDuplicate(pair))
  if (limit === undefined || pairs.length <= limit) return pairs
  const drawn = new Set(shuffled(random(...counters), pairs).slice(0, limit))
  return pairs.filter((pair) => drawn.has(pair))
}

/** Pairs of the earliest drawing that rendered with every other one. */
export const anchorPairs = (drawings: ReadonlyArray<Drawing>): ReadonlyArray<DrawingPair> => {
  const anchor = drawings.find(({ rendering }) => rendering._tag === "Rendered") ?? drawings[0]
  return drawings.filter((drawing) => drawing !== anchor).map((drawing) => inOrder([anchor!, drawing]))
    .filter((pair) => !isDuplicate(pair))
}

/** The most pairs of one prompt that are judged. */
export const mostPairs = ({ comparisons, k, maxPairsPerPrompt = Infinity }: ComparisonOptions): number => {
  switch (comparisons) {
    case "all":
      return Math.min(k * (k - 1) / 2, maxPairsPerPrompt)
    case "anchor":
      return k - 1
    case "swiss":
      return swissRounds(k) * Math.floor(k / 2)
  }
}

/** Rounds of a Swiss tournament of k: enough for one undefeated winner. */
export const swissRounds = (k: number): number => Math.ceil(Math.log2(k))

/**
 * The next round. Drawings are sorted by their share of wins so far (by `seeding` if equal), and each is paired with
 * the nearest one below that it has not met. If two are left over because they have met, they swap partners with the
 * lowest pair of the round that allows it. A drawing that still finds no partner sits out.
 */
const swissRound = (
  drawings: ReadonlyArray<Drawing>,
  judged: ReadonlyArray<JudgedPair>,
  seeding: ReadonlyArray<number>
): ReadonlyArray<DrawingPair> => {
  const rate = winRates(judged, drawings.length)
  const met = new Set(judged.map(({ a, b }) => `${a.index} ${b.index}`))
  const mayMeet = (x: Drawing, y: Drawing): boolean => {
    const [a, b] = inOrder([x, y])
    return !met.has(`${a.candidate.index} ${b.candidate.index}`) && !isDuplicate([a, b])
  }
  const waiting = drawings.map((drawing, i) => ({ drawing, i }))
    .toSorted((x, y) => rate[y.i]! - rate[x.i]! || seeding[x.i]! - seeding[y.i]!)
    .map(({ drawing }) => drawing)
  const round: Array<DrawingPair> = []
  const left: Array<Drawing> = []
  while (waiting.length > 0) {
    const x = waiting.shift()!
    const partner = waiting.findIndex((y) => mayMeet(x, y))
    if (partner >= 0) round.push([x, waiting.splice(partner, 1)[0]!])
    else left.push(x)
  }
  while (left.length > 1) {
    const [x, y] = [left.shift()!, left[0]!]
    const at = round.findLastIndex(([p, q]) => (mayMeet(x, p) && mayMeet(y, q)) || (mayMeet(x, q) && mayMeet(y, p)))
    if (at < 0) continue
    const [p, q] = round[at]!
    round.splice(at, 1, ...(mayMeet(x, p) && mayMeet(y, q) ? [[x, p] as const, [y, q] as const] : [[x, q] as const, [y, p] as const]))
    left.shift()
  }
  return round.map(inOrder)
}

/**
 * The judged pairs of one prompt, i < j. If all pairs are wanted, a judge that sees all drawings at once is asked once.
 *
 * @param drawings by candidate index
 * @param counters key of the random draws
 */
export const comparePrompt = Effect.fnUntraced(function*(
  { comparisons, maxPairsPerPrompt }: Omit<ComparisonOptions, "k">,
  prompt: Prompt,
  drawings: ReadonlyArray<Drawing>,
  counters: ReadonlyArray<number>,
  inTurn: InTurn
): Effect.fn.Return<ReadonlyArray<JudgedPair>, JudgeStopped, Judge> {
  const each = (pairs: ReadonlyArray<DrawingPair>) =>
    Effect.forEach(pairs, (pair) => inTurn(decide(prompt, pair)), { concurrency: "unbounded" })
  switch (comparisons) {
    case "all": {
      const pairs = pairsToDecide(drawings, maxPairsPerPrompt, counters)
      const together = maxPairsPerPrompt === undefined && (yield* Judge).compareAll !== undefined
      return yield* together ? inTurn(decideTogether(prompt, pairs)) : each(pairs)
    }
    case "anchor":
      return yield* each(anchorPairs(drawings))
    case "swiss": {
      const seeding = shuffled(random(...counters), drawings.map((_, i) => i))
      let judged: ReadonlyArray<JudgedPair> = []
      for (let round = 0; round < swissRounds(drawings.length); round++) {
        judged = [...judged, ...yield* each(swissRound(drawings, judged, seeding))]
      }
      return judged
    }
  }
})
