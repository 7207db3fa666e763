/** After against before, prompt by prompt, with a margin inside which two drawings tie. */
import type { Prompt } from "../domain.ts"
import type { Scorer } from "../stages/Scorer.ts"
import { type Drawn, type PromptDrawn } from "./drawings.ts"
import type { WinRate } from "./measures.ts"
import { wilson } from "./statistics.ts"
import { first, rendered } from "./worth.ts"

export type Winner = "before" | "after" | "tie"

/** A drawing that did not render loses to one that did. `undefined` if the scorer cannot judge the prompt. */
export const winnerOf = ({ knows, margin = 0, name }: Scorer, prompt: Prompt, before: Drawn, after: Drawn): Winner | undefined => {
  if (knows?.(prompt) === false) return undefined
  if (!rendered(before) && !rendered(after)) return "tie"
  const [b, a] = [before, after].map((drawn) => rendered(drawn) ? drawn.scores.get(name) : -Infinity)
  if (a === undefined || b === undefined) return undefined
  return Math.abs(a - b) <= margin ? "tie" : a > b ? "after" : "before"
}

export const noWinRate: WinRate = { ...wilson(0, 0), n: 0, scorer: "none", margin: 0, decided: 0, decidedRate: wilson(0, 0) }

/** Share of prompts on which after beats before, ties one half, and of those that did not tie. */
export const winRate = ({ margin = 0, name }: Pick<Scorer, "name" | "margin">, winners: ReadonlyArray<Winner>): WinRate => {
  const won = winners.filter((winner) => winner === "after").length
  const ties = winners.filter((winner) => winner === "tie").length
  const decided = winners.length - ties
  return {
    ...wilson(won + ties / 2, winners.length),
    n: winners.length,
    scorer: name,
    margin,
    decided,
    decidedRate: wilson(won, decided)
  }
}

/** By each scorer that can judge any of the prompts, in their order. */
export const winRates = (scorers: ReadonlyArray<Scorer>, before: ReadonlyArray<PromptDrawn>, after: ReadonlyArray<PromptDrawn>): ReadonlyArray<WinRate> =>
  scorers.flatMap((scorer) => {
    const winners = before.flatMap((of, n) => winnerOf(scorer, of.prompt, first(of), first(after[n]!)) ?? [])
    return winners.length === 0 ? [] : [winRate(scorer, winners)]
  })
