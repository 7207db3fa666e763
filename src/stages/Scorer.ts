import type { Effect } from "effect"
import type { Picture, Prompt } from "../domain.ts"

/** Scores one drawing of one prompt; higher is better. `undefined`: it cannot judge this prompt. */
export interface Scorer {
  readonly name: string
  readonly score: (prompt: Prompt, picture: Picture) => Effect.Effect<number | undefined>
}
