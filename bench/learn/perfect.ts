/**
 * Judges with the check that also measures what was learned. It shows what a recipe could learn if its judge were never
 * wrong, and is for diagnosis only: it knows the grammar's prompts alone, and nothing of the product offers it.
 */
import { Effect, Layer } from "effect"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { sceneScorer } from "../../src/evaluation/scene-check.ts"
import { Judge, JudgeRefused } from "../../src/stages/Judge.ts"

const name = "perfect"
const { margin = 0 } = sceneScorer

/** A picture is asked about in K - 1 pairs, soon after one another. */
const remembered = 4096

const makeJudge = (): Judge["Service"] => {
  const known = new Map<string, number>()
  const score = Effect.fnUntraced(function*(prompt: Prompt, picture: Picture) {
    const key = `${prompt.id} ${picture.hash}`
    const before = known.get(key)
    if (before !== undefined) return before
    const found = yield* sceneScorer.score(prompt, picture)
    if (found === undefined) return yield* new JudgeRefused({ message: `The scene check does not know "${prompt.text}".` })
    known.set(key, found)
    if (known.size > remembered) known.delete(known.keys().next().value!)
    return found
  })
  const compare = Effect.fnUntraced(function*(prompt: Prompt, a: Picture, b: Picture) {
    const scores = [yield* score(prompt, a), yield* score(prompt, b)] as const
    const gap = Math.abs(scores[0] - scores[1])
    return gap <= margin
      ? new Verdict({ outcome: "tie", confidence: 0, scores, by: name })
      : new Verdict({ outcome: scores[0] > scores[1] ? "A" : "B", confidence: gap, scores, by: name })
  })
  return Judge.of({ name, identity: `perfect-1 margin=${margin}`, concurrency: 64, free: true, compare })
}

export const layer = Layer.sync(Judge, makeJudge)
