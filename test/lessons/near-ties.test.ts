import { assert, describe, it } from "vitest"
import { isPreference, JudgedPair } from "../../src/domain.ts"
import { nearTies } from "../../src/lessons/near-ties.ts"
import { defaultPipeline } from "../../src/pipeline.ts"
import { teach } from "../../src/steps/teach.ts"
import { candidate, prompt, rollout, verdict } from "../stages/make.ts"

const scored = (gap: number, by = "clip", text = "a cat") => {
  const of = { prompt: prompt(text) }
  return new JudgedPair({
    a: candidate({ ...of, index: 0 }),
    b: candidate({ ...of, index: 1 }),
    verdict: verdict({ outcome: gap > 0 ? "A" : "B", confidence: 0.5, by, scores: [10 + gap, 10] })
  })
}
const outcomes = (share: number, pairs: ReadonlyArray<JudgedPair>) => nearTies(share, pairs).map(({ verdict: { outcome } }) => outcome).join(" ")

describe("ties by a share of the step", () => {
  const pairs = [3, -0.1, 0.2, -4, 1, 0.05].map((gap) => scored(gap))

  it("are the pairs with the smallest gaps, rounded down, whoever wins them", () => {
    assert.strictEqual(outcomes(0.5, pairs), "A tie tie B A tie")
    assert.strictEqual(outcomes(0.34, pairs), "A tie A B A tie")
    assert.strictEqual(outcomes(0.16, pairs), "A B A B A A")
    assert.deepStrictEqual(nearTies(0, pairs), pairs)
  })

  it("do not depend on the unit of the scores, but each judge has its own", () => {
    assert.strictEqual(outcomes(0.5, [...pairs, ...[300, 20, 10, 400].map((gap) => scored(gap, "other"))]), "A tie tie B A tie A tie tie A")
  })

  it("are the earlier pairs where gaps are equal", () => assert.strictEqual(outcomes(0.5, [1, 1, 1, 1].map((gap) => scored(gap))), "tie tie A A"))

  it("leave alone what has no score, the gate's verdicts and what got no answer", () => {
    const others = [
      verdict({ outcome: "A", by: "claude" }),
      verdict({ outcome: "A", by: "gate", scores: [0, 0] }),
      verdict({ outcome: "failed", confidence: 0, by: "clip", scores: [0, 0] })
    ].map((own) => new JudgedPair({ ...pairs[0]!, verdict: own }))
    assert.deepStrictEqual(nearTies(0.9, others), others)
  })

  it("keep their scores, are sure of nothing, and count the ties that the judge made", () => {
    const tie = new JudgedPair({ ...pairs[0]!, verdict: verdict({ outcome: "tie", confidence: 0, by: "clip", scores: [10, 10] }) })
    const [first, second] = nearTies(0.5, [tie, scored(1)])
    assert.strictEqual(first, tie)
    assert.strictEqual(second!.verdict.outcome, "A")
    assert.deepInclude(nearTies(0.5, pairs)[1]!.verdict, { outcome: "tie", confidence: 0, scores: [9.9, 10], by: "clip" })
  })

  it("become no preference, over all prompts of a step", () => {
    const step = { ...rollout(0), pairs: [scored(3), scored(1, "clip", "a dog"), scored(0.2, "clip", "a cow"), scored(2, "clip", "a fox")] }
    const taught = (nearTies?: number) => teach({ ...defaultPipeline, k: 2, ...(nearTies === undefined ? {} : { nearTies }) })(step).lessons.filter(isPreference)
    assert.lengthOf(taught(), 4)
    assert.deepStrictEqual(taught(0.5).map((lesson) => lesson.prompt.text), ["a cat", "a fox"])
  })
})
