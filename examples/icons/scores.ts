/** What the evaluation says of drawings that were scored: pure, so that a test can hold it. */
import { hash32, random, shuffled, wordsOf } from "../../src/engine/random.ts"
import { type Interval, mean, pairedBootstrap } from "../../src/evaluation/statistics.ts"

/** One drawing of one prompt. */
export interface Scored {
  readonly prompt: string
  readonly svg: string
  readonly tokens: number
  readonly rendered: boolean
  /** The evaluator's logit with the prompt; undefined if it did not render. */
  readonly logit: number | undefined
  /** Whether the prompt scores higher than every rival. */
  readonly first: boolean
}

/** Texts that a drawing's prompt is ranked among, itself included. */
export const ranked = 20

/** The other texts that a prompt is ranked with: the same for every policy and temperature. */
export const rivalsOf = (prompt: string, all: ReadonlyArray<string>): ReadonlyArray<string> =>
  shuffled(random(0x21a1, hash32(...wordsOf(prompt))), all.filter((text) => text !== prompt)).slice(0, ranked - 1)

export interface Measured {
  readonly validity: number
  /** Share of all drawings whose prompt ranks first; one that did not render does not. */
  readonly first: number
  /** Mean over those that rendered. */
  readonly logit: number
  readonly tokens: number
}

export const measured = (drawings: ReadonlyArray<Scored>): Measured => ({
  validity: mean(drawings.map(({ rendered }) => Number(rendered))),
  first: mean(drawings.map(({ first }) => Number(first))),
  logit: mean(drawings.flatMap(({ logit }) => logit ?? [])),
  tokens: mean(drawings.map(({ tokens }) => tokens))
})

/** Drawings by temperature. */
export type ByTemperature = ReadonlyMap<number, ReadonlyArray<Scored>>

/** Where most prompts rank first; of equal ones, where the mean logit is higher. */
export const bestTemperature = (drawn: ByTemperature): number => {
  const all = [...drawn].map(([temperature, drawings]) => ({ temperature, ...measured(drawings) }))
  return all.reduce((best, next) => next.first > best.first || (next.first === best.first && next.logit > best.logit) ? next : best).temperature
}

/** After minus before, prompt by prompt. Logits where both rendered. */
export const compared = (before: ReadonlyArray<Scored>, after: ReadonlyArray<Scored>, seed = 0): { readonly first: Interval; readonly logit: Interval } => {
  const pairs = before.map((b) => ({ b, a: after.find(({ prompt }) => prompt === b.prompt)! }))
  return {
    first: pairedBootstrap(pairs.map(({ a, b }) => Number(a.first) - Number(b.first)), seed),
    logit: pairedBootstrap(pairs.flatMap(({ a, b }) => a.logit === undefined || b.logit === undefined ? [] : [a.logit - b.logit]), seed)
  }
}
