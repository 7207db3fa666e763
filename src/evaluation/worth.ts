/** What one drawing is worth: right or wrong where prompts have that, else a scorer's score. */
import type { Scorer } from "../stages/Scorer.ts"
import type { Drawn, PromptDrawn } from "./drawings.ts"
import type { Prompt } from "../domain.ts"
import { kindOf, rightFrom, sceneScorer } from "./scene-check.ts"
import { mean, wilson } from "./statistics.ts"
import type { Share } from "./measures.ts"

export interface Yardstick {
  readonly measure: "right" | "score"
  /** Undefined: no scorer was given, and a drawing that renders is worth 1. */
  readonly scorer: Scorer | undefined
}

/** Right and wrong if at least half of the prompts have that; else the score of the first scorer that knows any prompt. */
export const yardstickFor = (prompts: ReadonlyArray<Prompt>, scorers: ReadonlyArray<Scorer>): Yardstick => {
  const scenes = prompts.filter((prompt) => kindOf(prompt) !== undefined).length
  return scorers.includes(sceneScorer) && scenes > 0 && 2 * scenes >= prompts.length
    ? { measure: "right", scorer: sceneScorer }
    : { measure: "score", scorer: scorers.find((scorer) => scorer !== sceneScorer) }
}

const scoreBy = (name: string, { scores }: Drawn): number | undefined => scores.get(name)

export const rendered = ({ hash }: Drawn): boolean => hash !== undefined

/** Whether the scene check calls it right; undefined if the prompt has no right and wrong. */
export const isRight = (prompt: Prompt, drawn: Drawn): boolean | undefined =>
  kindOf(prompt) === undefined ? undefined : (scoreBy(sceneScorer.name, drawn) ?? 0) >= rightFrom

/**
 * Scores in which a drawing that does not render counts too: by the scene check as 0, by another scorer as the worst of
 * these drawings that did. Undefined: a drawing that the scorer cannot score.
 */
export const scorerOver = ({ scorer }: Yardstick, all: ReadonlyArray<PromptDrawn>) => {
  if (scorer === undefined) return (_prompt: Prompt, drawn: Drawn): number | undefined => rendered(drawn) ? 1 : 0
  let worst = Infinity
  for (const { drawings } of all) for (const drawn of drawings) worst = Math.min(worst, scoreBy(scorer.name, drawn) ?? Infinity)
  const floor = scorer === sceneScorer || worst === Infinity ? 0 : worst
  return (prompt: Prompt, drawn: Drawn): number | undefined =>
    rendered(drawn) ? scoreBy(scorer.name, drawn) : scorer.knows?.(prompt) === false ? undefined : floor
}
export type Score = ReturnType<typeof scorerOver>

/** A drawing's worth in the unit of the yardstick. */
export const worthOf = ({ measure }: Yardstick, score: Score): Score =>
  measure === "score" ? score : (prompt, drawn) => {
    const right = isRight(prompt, drawn)
    return right === undefined ? undefined : Number(right)
  }

/** Values of the drawing of each prompt that `at` chooses, without those that have none. */
export const valuesOf = (all: ReadonlyArray<PromptDrawn>, score: Score, at: (of: PromptDrawn) => ReadonlyArray<Drawn>): Array<number> =>
  all.flatMap((of) => at(of).flatMap((drawn) => score(of.prompt, drawn) ?? []))

/** The share right among prompts that have a right and a wrong; null if none has. */
export const shareRight = (all: ReadonlyArray<PromptDrawn>, at: (of: PromptDrawn) => Drawn): Share | null => {
  const rights = all.flatMap((of) => isRight(of.prompt, at(of)) ?? [])
  return rights.length === 0 ? null : { ...wilson(rights.filter((right) => right).length, rights.length), n: rights.length }
}

export const first = ({ drawings }: PromptDrawn): Drawn => drawings[0]!

export const meanTokens = (drawings: ReadonlyArray<Drawn>): number => mean(drawings.map(({ tokens }) => tokens))

export const validity = (drawings: ReadonlyArray<Drawn>): number => mean(drawings.map((drawn) => Number(rendered(drawn))))
