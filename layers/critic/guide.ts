/** Critic: a guide model that sees the picture. A text that is no picture is told by the gate's reason, without a call. */
import { Effect, Layer } from "effect"
import { withJudgeRetry } from "../../src/lessons/decide.ts"
import { Critic, type Draft, type Told } from "../../src/stages/Critic.ts"
import { critiqueRequest, critiqueRubric } from "../guide/critique-rubric.ts"
import { billRefusals, Guide } from "../guide/guide.ts"
import { notDrawn } from "./not-drawn.ts"

export const layer = Layer.effect(
  Critic,
  Effect.gen(function*() {
    const guide = yield* Guide
    const one = Effect.fnUntraced(function*({ prompt, reference, rendering }: Draft) {
      if (rendering._tag !== "Rendered") return { critique: notDrawn(rendering), tokens: 0, costUsd: 0 } satisfies Told as Told
      const question = guide.question(
        critiqueRubric,
        critiqueRequest(prompt, rendering.picture, reference?._tag === "Rendered" ? reference.picture : undefined)
      )
      return yield* guide.ask(question).pipe(
        (call) => withJudgeRetry(call),
        billRefusals(guide, [question]),
        Effect.map((critique): Told => ({ critique, tokens: 0, costUsd: guide.bill([question]) })),
        Effect.catchTag(["JudgeBusy", "JudgeRefused"], (error) =>
          Effect.succeed<Told>({
            critique: undefined,
            problem: error.message,
            tokens: 0,
            costUsd: "costUsd" in error ? error.costUsd ?? 0 : 0
          }))
      )
    })
    return Critic.of({
      name: guide.model,
      identity: `critique-1 model=${guide.model} rubric=${critiqueRubric.version}`,
      critique: Effect.fn("Critic.critique")((drafts) => Effect.forEach(drafts, one, { concurrency: guide.concurrency }))
    })
  })
)
