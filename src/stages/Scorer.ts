import type { Effect } from "effect"
import type { Picture, Prompt } from "../domain.ts"

/** Scores one drawing of one prompt; higher is better. `undefined`: it cannot judge this prompt. */
export interface Scorer {
  readonly name: string
  /** Two drawings whose scores differ by no more are equally good; >= 0, in the scorer's unit. Default 0. */
  readonly margin?: number
  /** Whether it can score drawings of a prompt at all. Default: of every prompt. */
  readonly knows?: (prompt: Prompt) => boolean
  readonly score: (prompt: Prompt, picture: Picture) => Effect.Effect<number | undefined>
}
