/**
 * Compares before with after: the same held-out prompts, one drawing each, equal seeds, judged by scorers that had no
 * part in training. A drawing that did not render loses to one that did; equal scores are ties and count one half.
 */
import { Effect } from "effect"
import type { Drawing, Prompt } from "../domain.ts"
import { wilson, type Interval } from "./statistics.ts"
import type { PolicySnapshot } from "../stages/Policy.ts"
import { renderCandidate } from "../stages/render-for.ts"
import { Sampler } from "../stages/Sampler.ts"
import type { Scorer } from "../stages/Scorer.ts"

/** No training step has this number, so evaluation and training never share a candidate's seed. */
const evaluationStep = -1

/** One drawing a prompt from this policy, in the order of the prompts. */
export const drawHeldOut = Effect.fn("drawHeldOut")(function*(
  prompts: ReadonlyArray<Prompt>,
  policy: PolicySnapshot,
  options: { readonly seed: number; readonly promptsPerBatch: number }
) {
  const sampler = yield* Sampler
  const drawings: Array<Drawing> = []
  for (let at = 0; at < prompts.length; at += options.promptsPerBatch) {
    const groups = yield* sampler.sample({
      step: evaluationStep,
      prompts: prompts.slice(at, at + options.promptsPerBatch),
      k: 1,
      seed: options.seed,
      policy
    })
    drawings.push(...yield* Effect.forEach(groups.flat(), renderCandidate, { concurrency: 4 }))
  }
  return drawings
})

/** Which of two drawings a scorer prefers, and the scores of those that rendered. */
export interface Comparison {
  readonly winner: "before" | "after" | "tie"
  readonly before: number | undefined
  readonly after: number | undefined
}

const scoreOf = (scorer: Scorer, { candidate, rendering }: Drawing) =>
  rendering._tag === "Rendered"
    ? scorer.score(candidate.prompt, rendering.picture)
    : Effect.succeed(-Infinity)

/** `undefined` if the scorer cannot judge the prompt. */
export const compare = Effect.fnUntraced(function*(scorer: Scorer, before: Drawing, after: Drawing) {
  const b = yield* scoreOf(scorer, before)
  const a = yield* scoreOf(scorer, after)
  if (a === undefined || b === undefined) return undefined
  const shown = (score: number) => (score === -Infinity ? undefined : score)
  const winner = a > b ? "after" : b > a ? "before" : "tie"
  return { winner, before: shown(b), after: shown(a) } satisfies Comparison as Comparison
})

export interface WinRate extends Interval {
  readonly n: number
  readonly scorer: string
}

/** Share of prompts on which after beats before, ties one half, with its 95 % Wilson interval. */
export const winRate = (scorer: string, comparisons: ReadonlyArray<Comparison>): WinRate => {
  const points = { after: 1, tie: 0.5, before: 0 } as const
  const won = comparisons.reduce((n, { winner }) => n + points[winner], 0)
  return { ...wilson(won, comparisons.length), n: comparisons.length, scorer }
}

/** Share of drawings that rendered. */
export const validity = (drawings: ReadonlyArray<Drawing>): number =>
  share(drawings, ({ rendering }) => rendering._tag === "Rendered")

/** Tokens a drawing. */
export const meanLength = (drawings: ReadonlyArray<Drawing>): number =>
  drawings.length === 0 ? 0 : drawings.reduce((sum, { candidate }) => sum + candidate.completionIds.length, 0) / drawings.length

/** Distinct pictures among those that rendered, as a share of them. */
export const diversity = (drawings: ReadonlyArray<Drawing>): number => {
  const hashes = drawings.flatMap(({ rendering }) => rendering._tag === "Rendered" ? [rendering.picture.hash] : [])
  return hashes.length === 0 ? 0 : new Set(hashes).size / hashes.length
}

const share = <A>(items: ReadonlyArray<A>, holds: (item: A) => boolean): number =>
  items.length === 0 ? 0 : items.filter(holds).length / items.length
