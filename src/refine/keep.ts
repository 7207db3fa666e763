/**
 * Which of two drawings a refinement keeps. A later drawing takes the place of the best one so far only if the judge says
 * that it beats it, and does not say that the draft beats it: judges are not transitive, and nobody should get a drawing
 * that loses to what was there before.
 */
import { Effect } from "effect"
import type { Prompt, Rendering, Verdict } from "../domain.ts"
import { decideRenderings } from "../lessons/decide.ts"

export interface Kept {
  readonly kept: boolean
  /** Against the best so far, then against the draft if that is another one; `A` is the later drawing. */
  readonly verdicts: ReadonlyArray<Verdict>
}

/** Fails only with `JudgeStopped`; a judgment without an answer keeps what there was. */
export const challenge = Effect.fn("refine.challenge")(
  function*(prompt: Prompt, later: Rendering, best: Rendering, draft: Rendering) {
    const first = yield* decideRenderings(prompt, later, best)
    if (first.outcome !== "A" || best === draft) return { kept: first.outcome === "A", verdicts: [first] } satisfies Kept as Kept
    const second = yield* decideRenderings(prompt, later, draft)
    return { kept: second.outcome === "A" || second.outcome === "tie", verdicts: [first, second] } satisfies Kept as Kept
  }
)
