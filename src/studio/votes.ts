/** People's votes on a run's pairs: they lie beside the run, and change nothing of it. */
import { Context, type Effect } from "effect"
import type { Outcome } from "../domain.ts"
import { cohenKappa, kappaInterval, wilson } from "../evaluation/statistics.ts"
import type { StoredPreference } from "../stages/RunState.ts"
import type { FileProblem } from "../system/files.ts"
import type { Agreement, Vote } from "./api.ts"

/** Two drawings of a prompt, by their indexes. */
export interface Pair {
  readonly step: number
  readonly promptId: string
  readonly prompt: string
  readonly a: number
  readonly b: number
}

/** The last vote on a pair. */
export interface Voted {
  readonly choice: (typeof Vote.Type)["choice"]
  readonly blind: boolean
  /** What the judge said: `A` is the left drawing. */
  readonly judge: Outcome
}

/** A pair as it was shown, and its last vote. */
export interface VotedDrawings {
  readonly step: number
  readonly policyVersion: number
  readonly prompt: string
  /** SVG. */
  readonly left: string
  readonly right: string
  readonly choice: (typeof Vote.Type)["choice"]
}

export interface Cast {
  /** Votes, those on one pair each. */
  readonly votes: number
  /** The last one of each pair that the run still has, oldest first. */
  readonly pairs: ReadonlyArray<Voted>
}

/** Runs are named by the whole path of their folder. Every call fails if the store cannot be read or written. */
export class Votes extends Context.Service<Votes, {
  /** A pair that a judge answered and nobody voted on, or undefined. The same one until a vote is cast. */
  readonly next: (run: string) => Effect.Effect<Pair | undefined, FileProblem>
  /** False if the run has no such pair of drawings that rendered. */
  readonly cast: (run: string, vote: typeof Vote.Type) => Effect.Effect<boolean, FileProblem>
  /** Takes the last vote back. */
  readonly undo: (run: string) => Effect.Effect<void, FileProblem>
  readonly all: (run: string) => Effect.Effect<Cast, FileProblem>
  /** What people said of the pairs of a drawing: by the other drawing's index. */
  readonly of: (run: string, step: number, promptId: string, index: number) => Effect.Effect<ReadonlyMap<number, "won" | "lost" | "tie">, FileProblem>
  /** The pairs that were voted on, oldest vote first. */
  readonly drawings: (run: string) => Effect.Effect<ReadonlyArray<VotedDrawings>, FileProblem>
}>()("vequinox/studio/Votes") {}

const labels = { left: "A", right: "B", tie: "tie" } as const
const answered = new Set<string>(["A", "B", "tie"])

/** People beside the judge, over the blind votes: whoever has seen a verdict no longer judges by the drawings alone. */
export const agreementOf = ({ pairs, votes }: Cast): typeof Agreement.Type => {
  const blind = pairs.filter(({ blind, judge }) => blind && answered.has(judge))
  const both = blind.map(({ choice, judge }) => [labels[choice], judge] as const)
  const decided = both.filter(([person, judge]) => person !== "tie" && judge !== "tie")
  const kappa = cohenKappa(both)
  return {
    votes,
    corrections: pairs.filter(({ blind }) => !blind).length,
    agreement: decided.length === 0
      ? null
      : { ...wilson(decided.filter(([person, judge]) => person === judge).length, decided.length), n: decided.length },
    kappa: Number.isNaN(kappa) ? null : { value: kappa, ...kappaInterval(both, 0), n: both.length },
    undoable: votes > 0
  }
}

/** The pairs of which a person chose one drawing, as preferences: the person is their judge. */
export const preferencesOf = (pairs: ReadonlyArray<VotedDrawings>): ReadonlyArray<StoredPreference> =>
  pairs.flatMap(({ choice, left, policyVersion, prompt, right, step }) => {
    if (choice === "tie") return []
    const [chosen, rejected] = choice === "left" ? [left, right] : [right, left]
    return [{ step, policyVersion, prompt, chosen, rejected, judge: "person", confidence: 1, label: 1, weight: 1 }]
  })
