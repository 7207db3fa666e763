/**
 * How several policies stand that drew the same prompts: numbers from their drawings. Nothing here draws or asks anything.
 * Each policy is told at its own best temperature, chosen on other prompts, and at 1.
 */
import type { Prompt } from "../domain.ts"
import type { Scorer } from "../stages/Scorer.ts"
import type { Drawn, PromptDrawn } from "./drawings.ts"
import { countsUpTo } from "./learning.ts"
import type { Choice, Share, WinRate } from "./measures.ts"
import { kindOf } from "./scene-check.ts"
import { type Interval, mean, pairedBootstrap } from "./statistics.ts"
import { choicesOf, distinctShare } from "./temperature.ts"
import { winRates } from "./win-rate.ts"
import { first, meanTokens, rendered, type Score, scorerOver, shareRight, validity, valuesOf, worthOf, type Yardstick } from "./worth.ts"

/** A prompt, and what it is one of. */
export interface Asked {
  readonly prompt: Prompt
  readonly category: string
  /** What its drawing must show, if its file says so. */
  readonly requirements?: ReadonlyArray<string> | undefined
}

/** Where a file says nothing: the kind of a prompt of the grammar. */
export const categoryOf = (prompt: Prompt, said: string | undefined): string => said ?? kindOf(prompt) ?? "other"

export interface PolicyDrawings {
  readonly name: string
  /** Other prompts at each temperature; empty where there was one temperature, so nothing to choose. */
  readonly choice: ReadonlyMap<number, ReadonlyArray<PromptDrawn>>
  /** One of the temperatures of `drawn`. */
  readonly best: number
  /** The best one over 0, at which several drawings of each prompt were made; undefined if there were not several. */
  readonly several: number | undefined
  /** The prompts at `best`, at `several` and at 1. */
  readonly drawn: ReadonlyMap<number, ReadonlyArray<PromptDrawn>>
  /** Wall clock of drawing, rendering and scoring, seconds a drawing. */
  readonly seconds: number
}

/** Of the first drawing of each prompt; shares are in [0, 1]. */
export interface Measures {
  readonly temperature: number
  /** Null where no prompt has a right and a wrong. */
  readonly right: Share | null
  /** Mean, in the unit of the yardstick: the share right, or the score that it names. */
  readonly worth: number
  readonly validity: number
  /** Mean score of the drawings that render, and of all, where one that does not counts as the worst that did (0 by the scene check). */
  readonly scores: ReadonlyArray<{ readonly scorer: string; readonly valid: number; readonly all: number }>
  readonly categories: ReadonlyArray<{ readonly category: string; readonly prompts: number; readonly right: Share | null; readonly worth: number }>
  /** Tokens a drawing. */
  readonly tokens: number
  /** -log p of a drawing under what it was drawn from, nats. */
  readonly nats: number
  /** Share of a drawing's shapes that are no paths: what a person can edit by hand. */
  readonly primitives: number
}

export interface Standing {
  readonly name: string
  readonly bestTemperature: number
  readonly choice: ReadonlyArray<Choice>
  readonly best: Measures
  /** At temperature 1. */
  readonly plain: Measures
  readonly several: null | {
    readonly temperature: number
    /** Drawings a prompt. */
    readonly k: number
    /** Distinct pictures among them. */
    readonly distinct: number
    /** Worth of the best, the mean and the worst of them, by the yardstick itself. */
    readonly worth: { readonly best: number; readonly mean: number; readonly worst: number }
    /** Worth of the one that the judge chooses, and the tokens of all that it chose from; empty if no judge was asked. */
    readonly chosen: ReadonlyArray<{ readonly k: number; readonly worth: number; readonly tokens: number }>
  }
  readonly seconds: number
  /** Against the first policy; null for the first itself. The interval is a paired bootstrap over the prompts. */
  readonly against: { readonly difference: Interval; readonly winRates: ReadonlyArray<WinRate> } | null
}

const shapes = /<(path|rect|circle|ellipse|line|polyline|polygon)\b/g

const primitivesOf = ({ svg }: Drawn): number | undefined => {
  const names = [...svg.matchAll(shapes)].map(([, name]) => name)
  return names.length === 0 ? undefined : names.filter((name) => name !== "path").length / names.length
}

interface Ruler {
  readonly worth: Score
  readonly scorers: ReadonlyArray<{ readonly name: string; readonly score: Score }>
}

const measuresOf = ({ scorers, worth }: Ruler, temperature: number, asked: ReadonlyArray<Asked>, all: ReadonlyArray<PromptDrawn>): Measures => {
  const categories = [...new Set(asked.map(({ category }) => category))]
  const drawings = all.map(first)
  const valid = all.filter((of) => rendered(first(of)))
  return {
    temperature,
    right: shareRight(all, first),
    worth: mean(valuesOf(all, worth, (of) => [first(of)])),
    validity: validity(drawings),
    scores: scorers.map(({ name, score }) => ({
      scorer: name,
      valid: mean(valuesOf(valid, score, (of) => [first(of)])),
      all: mean(valuesOf(all, score, (of) => [first(of)]))
    })),
    categories: categories.map((category) => {
      const own = all.filter((_, n) => asked[n]!.category === category)
      return { category, prompts: own.length, right: shareRight(own, first), worth: mean(valuesOf(own, worth, (of) => [first(of)])) }
    }),
    tokens: meanTokens(drawings),
    nats: Math.max(0, mean(drawings.map(({ nats }) => nats))),
    primitives: mean(valid.flatMap((of) => primitivesOf(first(of)) ?? []))
  }
}

const severalOf = ({ worth }: Ruler, temperature: number, all: ReadonlyArray<PromptDrawn>): NonNullable<Standing["several"]> => {
  const k = all[0]?.drawings.length ?? 0
  const worths = all.map(({ drawings, prompt }) => drawings.flatMap((drawn) => worth(prompt, drawn) ?? [])).filter(({ length }) => length > 0)
  const asked = all.every(({ champions }) => champions !== undefined)
  return {
    temperature,
    k,
    distinct: distinctShare(all),
    worth: {
      best: mean(worths.map((own) => Math.max(...own))),
      mean: mean(worths.map(mean)),
      worst: mean(worths.map((own) => Math.min(...own)))
    },
    chosen: !asked ? [] : [1, ...countsUpTo(k)].map((k) => ({
      k,
      worth: mean(valuesOf(all, worth, ({ champions, drawings }) => [drawings[champions![k - 1]!]!])),
      tokens: mean(all.map(({ drawings }) => drawings.slice(0, k).reduce((sum, { tokens }) => sum + tokens, 0)))
    }))
  }
}

/**
 * @param asked the prompts, in the order in which every policy drew them
 * @param policies the first is what the others are compared with
 */
export const standings = (
  asked: ReadonlyArray<Asked>,
  policies: ReadonlyArray<PolicyDrawings>,
  yardstick: Yardstick,
  scorers: ReadonlyArray<Scorer>,
  seed: number
): ReadonlyArray<Standing> => {
  const everything = policies.flatMap(({ drawn }) => [...drawn.values()].flat())
  const by = (scorer: Scorer) => scorerOver({ measure: "score", scorer }, everything)
  const ruler: Ruler = {
    worth: worthOf(yardstick, scorerOver(yardstick, everything)),
    scorers: scorers.map((scorer) => ({ name: scorer.name, score: by(scorer) }))
  }
  const atBest = ({ best, drawn }: PolicyDrawings) => drawn.get(best)!
  const worths = (policy: PolicyDrawings) => atBest(policy).map((of) => ruler.worth(of.prompt, first(of)))
  const [baseline] = policies
  return policies.map((policy): Standing => {
    const own = worths(policy)
    const theirs = worths(baseline!)
    const differences = own.flatMap((x, n) => (x === undefined || theirs[n] === undefined ? [] : [x - theirs[n]]))
    return {
      name: policy.name,
      bestTemperature: policy.best,
      choice: policy.choice.size === 0 ? [] : choicesOf(yardstick, policy.choice),
      best: measuresOf(ruler, policy.best, asked, atBest(policy)),
      plain: measuresOf(ruler, 1, asked, policy.drawn.get(1)!),
      several: policy.several === undefined ? null : severalOf(ruler, policy.several, policy.drawn.get(policy.several)!),
      seconds: policy.seconds,
      against: policy === baseline ? null : {
        difference: pairedBootstrap(differences, seed),
        winRates: winRates(scorers, atBest(baseline!), atBest(policy))
      }
    }
  })
}
