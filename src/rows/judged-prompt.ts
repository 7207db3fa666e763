/** The drawings of one prompt, judged and criticised: what training rows are made from, and a line of records.jsonl. */
import { Effect, Schema } from "effect"
import { type Candidate, type Drawing, Prompt } from "../domain.ts"
import { extractSvg } from "../drawing/extract.ts"
import { outcomeOf } from "../evaluation/drawings.ts"
import { comparePrompt } from "../lessons/compare.ts"
import { winRates } from "../lessons/order.ts"
import { Critique } from "../roles/roles.ts"
import { seenOf } from "../roles/seen.ts"
import { Critic, type Draft } from "../stages/Critic.ts"
import { renderCandidate } from "../stages/render-for.ts"

export const JudgedPrompt = Schema.Struct({
  /** Name of its files. */
  id: Schema.String,
  prompt: Prompt,
  drawings: Schema.Array(Schema.Struct({
    svg: Schema.String,
    outcome: Schema.String,
    /** What a critic without eyes reads. */
    seen: Schema.String,
    /** Share of its comparisons that it won, ties one half. */
    won: Schema.Finite,
    /** Only of the best drawing, and of the drafts that lost to it. */
    critique: Schema.NullOr(Critique),
    /** Whether the judge said that the best drawing beats it. */
    lost: Schema.Boolean
  })),
  /** Place of the best drawing; null if the judge found none better than all others it was compared with. */
  best: Schema.NullOr(Schema.Int),
  costUsd: Schema.Finite
})
export type JudgedPrompt = typeof JudgedPrompt.Type

export interface JudgeOptions {
  readonly seed: number
  /** Drafts of a prompt that are criticised, the worst first; >= 0. */
  readonly drafts: number
}

/**
 * Compares all drawings of a prompt with each other, and asks the critic about the best one, and about the worst drafts that
 * lost to it beside the best one.
 *
 * @param groups `[prompt][k]`
 */
export const judgePrompts = Effect.fn("rows.judge")(function*(
  { drafts, seed }: JudgeOptions,
  names: ReadonlyArray<string>,
  groups: ReadonlyArray<ReadonlyArray<Candidate>>
) {
  const judged = yield* Effect.forEach(groups, Effect.fnUntraced(function*(group) {
    const drawings = yield* Effect.forEach(group, renderCandidate, { concurrency: 4 })
    const prompt = group[0]!.prompt
    const pairs = yield* comparePrompt({ comparisons: "all" }, prompt, drawings, [seed], (judgment) => judgment)
    const won = winRates(pairs, group.length)
    const top = won.indexOf(Math.max(...won))
    const beaten = (n: number): boolean => pairs.some(({ a, b, verdict: { outcome } }) => (a.index === top && b.index === n && outcome === "A") || (a.index === n && b.index === top && outcome === "B"))
    const lost = drawings.map((_, n) => beaten(n))
    const best = drawings[top]!.rendering._tag === "Rendered" && lost.includes(true) ? top : null
    const worst = drawings.map((_, n) => n).filter((n) => lost[n]).toSorted((a, b) => won[a]! - won[b]!).slice(0, drafts)
    return { prompt, drawings, won, lost, best, asked: best === null ? [] : [best, ...worst], costUsd: pairs.reduce((sum, { verdict: { costUsd = 0 } }) => sum + costUsd, 0) }
  }), { concurrency: 8 })
  const answers = yield* (yield* Critic).critique(judged.flatMap(({ asked, drawings, prompt }) => asked.map((n, at): Draft => ({
    prompt,
    rendering: drawings[n]!.rendering,
    ...at > 0 && { reference: drawings[asked[0]!]!.rendering }
  }))))
  let next = 0
  return judged.map(({ asked, best, costUsd, drawings, lost, prompt, won }, p): JudgedPrompt => {
    const told = new Map(asked.map((n) => [n, answers[next++]!]))
    return {
      id: names[p]!,
      prompt,
      drawings: drawings.map((drawing, n) => recorded(drawing, won[n]!, told.get(n)?.critique, lost[n]!)),
      best,
      costUsd: [...told.values()].reduce((sum, told) => sum + told.costUsd, costUsd)
    }
  })
})

const recorded = ({ candidate, rendering }: Drawing, won: number, critique: Critique | undefined, lost: boolean): JudgedPrompt["drawings"][number] => ({
  svg: extractSvg(candidate.svg) ?? candidate.svg,
  outcome: outcomeOf(rendering),
  seen: seenOf(rendering),
  won,
  critique: critique ?? null,
  lost
})
