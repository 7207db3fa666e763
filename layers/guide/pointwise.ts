/**
 * Judges that look at each picture alone: each of K pictures is asked about once, not once a pair, and the order within
 * a pair cannot matter.
 */
import { Effect } from "effect"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { Judge, type JudgeError } from "../../src/stages/Judge.ts"
import { billRefusals, Guide } from "./guide.ts"
import type { Question } from "./question.ts"
import { reasonOf } from "./reason.ts"
import type { Ask } from "./sharing.ts"

/** The comparison of what was seen in two pictures. */
export interface Comparison {
  /** The judge's scores of A and B: the higher one wins. */
  readonly scores: readonly [number, number]
  readonly tie: boolean
  /** The confidence of a verdict that is not a tie, in [0, 1]. */
  readonly confidence: number
  readonly reason: string
}

export interface PointwiseOptions<A> {
  readonly name: string
  readonly identity: string
  /** Looks at one picture; every question goes through `ask`. */
  readonly look: (ask: Ask, prompt: Prompt, picture: Picture) => Effect.Effect<A, JudgeError>
  /** Swapping the two swaps the scores and changes nothing else that matters. */
  readonly compared: (a: A, b: A) => Comparison
}

/** The first verdict that uses a question's answer carries its cost, so that verdicts add up to the bill. */
export const makePointwiseJudge = Effect.fnUntraced(function*<A>({ compared, identity, look, name }: PointwiseOptions<A>) {
  const guide = yield* Guide
  const compare = Effect.fn("Judge.compare")(function*(prompt: Prompt, a: Picture, b: Picture) {
    if (a.hash === b.hash) return new Verdict({ outcome: "tie", confidence: 0, by: name })
    const questions: Array<Question<unknown>> = []
    const ask: Ask = (question) => {
      questions.push(question)
      return guide.ask(question)
    }
    // Wait for both: an answer under way is paid for.
    const looks = yield* Effect.forEach([a, b], (picture) => Effect.result(look(ask, prompt, picture)), { concurrency: 2 })
    const [seenA, seenB] = yield* Effect.forEach(looks, Effect.fromResult).pipe(billRefusals(guide, questions))
    const { confidence, reason, scores, tie } = compared(seenA!, seenB!)
    return new Verdict({
      outcome: tie ? "tie" : scores[0] > scores[1] ? "A" : "B",
      confidence: tie ? 0 : confidence,
      scores: [...scores],
      by: name,
      reason: reasonOf(reason),
      costUsd: guide.bill(questions)
    })
  })
  return Judge.of({ name, identity, concurrency: guide.concurrency * 8, compare })
})
