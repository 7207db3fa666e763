/**
 * Judge: asks a cheap judge first, and an expensive one only if the cheap one is not sure. A verdict carries the name
 * of the judge that gave it, so the share of questions saved is the share `by` the first (`judge/by/*` in
 * metrics.jsonl).
 */
import { Effect, Layer } from "effect"
import type { Picture, Prompt } from "../../src/domain.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { built } from "./panel.ts"

export interface CascadeOptions {
  /** The lowest confidence, in [0, 1], at which the first judge's answer stands; a tie never does. Default 0.9. */
  readonly confidence?: number
}

/** If the first judge refuses, the second is asked. */
export const layer = <E1, R1, E2, R2>(
  first: Layer.Layer<Judge, E1, R1>,
  then: Layer.Layer<Judge, E2, R2>,
  { confidence = 0.9 }: CascadeOptions = {}
) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const cheap = yield* built(first)
      const dear = yield* built(then)
      const compare = Effect.fn("Judge.compare")(function*(prompt: Prompt, a: Picture, b: Picture) {
        const quick = yield* cheap.compare(prompt, a, b).pipe(
          Effect.catchTag("JudgeRefused", () => Effect.undefined)
        )
        const clear = quick !== undefined &&
          (a.hash === b.hash || (quick.outcome !== "tie" && quick.confidence >= confidence))
        return clear ? quick : yield* dear.compare(prompt, a, b)
      })
      return Judge.of({
        name: "cascade",
        identity: `cascade-1 confidence=${confidence} [${cheap.identity}] then [${dear.identity}]`,
        concurrency: dear.concurrency,
        free: cheap.free === true && dear.free === true,
        compare
      })
    })
  )
