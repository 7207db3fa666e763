/**
 * What a refinement gained: its drafts, its results and, if they were drawn, as many drawings as the same tokens give, by
 * scorers that trained nothing and chose nothing. Numbers from drawings alone.
 */
import type { PromptDrawn } from "../evaluation/drawings.ts"
import type { Share, WinRate } from "../evaluation/measures.ts"
import { type Interval, mean, pairedBootstrap } from "../evaluation/statistics.ts"
import { winRates } from "../evaluation/win-rate.ts"
import { first, meanTokens, scorerOver, shareRight, validity, valuesOf, worthOf, type Yardstick } from "../evaluation/worth.ts"
import type { Scorer } from "../stages/Scorer.ts"

/** One drawing of each prompt, and what they cost. */
export interface Result {
  /** `last drawn`: the last correction of each prompt, whether it was kept or not, as IntroSVG leaves it. */
  readonly name: "draft" | "refined" | "last drawn" | "best of N"
  readonly drawn: ReadonlyArray<PromptDrawn>
  /** All tokens that were drawn for it, a prompt. */
  readonly spent: number
}

export interface Gain extends Omit<Result, "drawn"> {
  readonly right: Share | null
  /** Mean, in the unit of the yardstick. */
  readonly worth: number
  readonly validity: number
  /** Tokens of the drawing that was kept. */
  readonly tokens: number
  /** Against the drafts; null of the drafts themselves. */
  readonly against: null | {
    /** Paired bootstrap over prompts, 95 %. */
    readonly difference: Interval
    readonly winRates: ReadonlyArray<WinRate>
  }
}

/** @param results the drafts first; all of the same prompts */
export const gains = (results: ReadonlyArray<Result>, yardstick: Yardstick, scorers: ReadonlyArray<Scorer>, seed: number): ReadonlyArray<Gain> => {
  const worth = worthOf(yardstick, scorerOver(yardstick, results.flatMap(({ drawn }) => drawn)))
  const valueOf = (of: PromptDrawn) => worth(of.prompt, first(of))
  const drafts = results[0]!.drawn
  return results.map(({ drawn, name, spent }): Gain => ({
    name,
    spent,
    right: shareRight(drawn, first),
    worth: mean(valuesOf(drawn, worth, (of) => [first(of)])),
    validity: validity(drawn.map(first)),
    tokens: meanTokens(drawn.map(first)),
    against: drawn === drafts ? null : {
      difference: pairedBootstrap(
        drawn.flatMap((of, n) => {
          const [after, before] = [valueOf(of), valueOf(drafts[n]!)]
          return after === undefined || before === undefined ? [] : [after - before]
        }),
        seed
      ),
      winRates: winRates(scorers, drafts, drawn)
    }
  }))
}
