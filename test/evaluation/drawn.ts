/** Made-up drawings for the tests of measures. */
import type { Drawn, PromptDrawn } from "../../src/evaluation/drawings.ts"
import { promptOf } from "../../src/prompts.ts"

let made = 0

/** @param score by `scorer`; undefined: it did not render */
export const drawn = (score: number | undefined, of: Partial<Drawn> & { readonly scorer?: string } = {}): Drawn => {
  const { scorer = "scene check", ...rest } = of
  return {
    svg: "<svg/>",
    outcome: score === undefined ? "rejected: blank" : "rendered",
    hash: score === undefined ? undefined : `h${made++}`,
    tokens: 10,
    nats: 5,
    scores: new Map(score === undefined ? [] : [[scorer, score]]),
    ...rest
  }
}

export const ofPrompt = (text: string, drawings: ReadonlyArray<Drawn>, champions?: ReadonlyArray<number>): PromptDrawn => ({
  prompt: promptOf(text),
  drawings,
  champions
})
