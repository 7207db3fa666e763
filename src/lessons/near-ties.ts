/**
 * A tie margin relative to a step's own spread of scores: a fixed one calls more pairs a tie the more alike the drawings
 * become, and teaches ever less.
 */
import { JudgedPair, Verdict } from "../domain.ts"

const gapOf = ({ verdict: { by, outcome, scores } }: JudgedPair): number | undefined =>
  scores === undefined || by === "gate" || outcome === "failed" || outcome === "invalid" ? undefined : Math.abs(scores[0] - scores[1])

const tied = (pair: JudgedPair): JudgedPair =>
  new JudgedPair({ ...pair, verdict: new Verdict({ ...pair.verdict, outcome: "tie", confidence: 0 }) })

/**
 * The pairs of a step, in order; of each judge's scored pairs the share with the smallest gaps, rounded down, are ties
 * (of equal gaps, the earlier pairs). Pairs without scores stay as they are, and so do ties.
 *
 * @param share [0, 1); 0 changes nothing
 */
export const nearTies = (share: number, pairs: ReadonlyArray<JudgedPair>): ReadonlyArray<JudgedPair> => {
  const scored = pairs.flatMap((pair) => {
    const gap = gapOf(pair)
    return gap === undefined ? [] : [{ pair, gap }]
  })
  const near = new Set([...Map.groupBy(scored, ({ pair }) => pair.verdict.by).values()].flatMap((own) =>
    own.toSorted((x, y) => x.gap - y.gap).slice(0, Math.floor(share * own.length)).map(({ pair }) => pair)))
  return near.size === 0 ? pairs : pairs.map((pair) => (near.has(pair) && pair.verdict.outcome !== "tie" ? tied(pair) : pair))
}
