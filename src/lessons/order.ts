/**
 * Orders the candidates of one prompt by their verdicts: win rates, Bradley-Terry strengths, and cycles (A over B over
 * C over A), found and cut where the judge was least sure.
 */
import type { JudgedPair } from "../domain.ts"
import { bradleyTerry, type Comparison, type Strengths } from "./bradley-terry.ts"

/** The verdicts that say something about two candidates: A, B and tie. */
export const informative = (pairs: ReadonlyArray<JudgedPair>) =>
  pairs.filter(({ verdict: { outcome } }) => outcome === "A" || outcome === "B" || outcome === "tie")

const winOf = ({ verdict }: JudgedPair): number => (verdict.outcome === "A" ? 1 : verdict.outcome === "B" ? 0 : 0.5)

/**
 * The share of its comparisons that each candidate won, by candidate index. A tie counts half; a candidate without
 * comparisons gets 0.5.
 */
export const winRates = (pairs: ReadonlyArray<JudgedPair>, k: number): ReadonlyArray<number> => {
  const wins = new Float64Array(k)
  const games = new Float64Array(k)
  for (const pair of informative(pairs)) {
    const win = winOf(pair)
    wins[pair.a.index]! += win
    wins[pair.b.index]! += 1 - win
    games[pair.a.index]!++
    games[pair.b.index]!++
  }
  return Array.from(wins, (won, i) => (games[i] === 0 ? 0.5 : won / games[i]!))
}

/** Strengths of the k candidates, by index. A verdict's weight is the judge's confidence; a tie counts as one answer. */
export const strengths = (pairs: ReadonlyArray<JudgedPair>, k: number): Strengths =>
  bradleyTerry(k, informative(pairs).map((pair): Comparison => ({
    a: pair.a.index,
    b: pair.b.index,
    win: winOf(pair),
    weight: pair.verdict.outcome === "tie" ? 1 : pair.verdict.confidence
  })))

interface Edge {
  readonly winner: number
  readonly loser: number
  readonly pair: JudgedPair
}

const edgesOf = (pairs: ReadonlyArray<JudgedPair>): Array<Edge> =>
  pairs.flatMap((pair) =>
    pair.verdict.outcome === "A"
      ? [{ winner: pair.a.index, loser: pair.b.index, pair }]
      : pair.verdict.outcome === "B"
      ? [{ winner: pair.b.index, loser: pair.a.index, pair }]
      : []
  )

/** Edges that lie on a cycle: those whose loser leads back to their winner. */
const cyclic = (edges: ReadonlyArray<Edge>): Array<Edge> => {
  const beats = Map.groupBy(edges, ({ winner }) => winner)
  const leadsTo = (from: number, to: number): boolean => {
    const seen = new Set<number>()
    const open = [from]
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (at === to) return true
      if (seen.has(at)) continue
      seen.add(at)
      open.push(...(beats.get(at) ?? []).map(({ loser }) => loser))
    }
    return false
  }
  return edges.filter(({ loser, winner }) => leadsTo(loser, winner))
}

/** Whether the verdicts about one prompt contradict one another. */
export const hasCycle = (pairs: ReadonlyArray<JudgedPair>): boolean => cyclic(edgesOf(pairs)).length > 0

/**
 * The pairs without the verdicts that prevent an order: the least sure verdict of each cycle is removed (the earlier
 * pair if equal), one after another, until no cycle is left. The validity gate's answer is never removed.
 */
export const withoutCycles = (pairs: ReadonlyArray<JudgedPair>): ReadonlyArray<JudgedPair> => {
  const dropped = new Set<JudgedPair>()
  for (;;) {
    const left = cyclic(edgesOf(pairs.filter((pair) => !dropped.has(pair))))
    const candidates = left.filter(({ pair }) => pair.verdict.by !== "gate")
    if (candidates.length === 0) return pairs.filter((pair) => !dropped.has(pair))
    dropped.add(
      candidates.reduce((least, edge) => (edge.pair.verdict.confidence < least.pair.verdict.confidence ? edge : least)).pair
    )
  }
}
