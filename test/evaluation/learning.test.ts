import { assert, describe, it } from "@effect/vitest"
import { countsUpTo, learningOf, type PolicyDrawn } from "../../src/evaluation/learning.ts"
import { kindOf, sceneScorer } from "../../src/evaluation/scene-check.ts"
import { pairedBootstrap, wilson } from "../../src/evaluation/statistics.ts"
import { yardstickFor } from "../../src/evaluation/worth.ts"
import { promptOf } from "../../src/prompts.ts"
import { drawn, ofPrompt } from "./drawn.ts"

const texts = ["a pelican", "a bicycle", "a pelican riding a bicycle", "two red stars", "a red star above a blue circle", "a big red star and a small blue circle"]
const choice = (temperature: number, worth: number) => ({ temperature, worth, entropy: 10 * temperature, distinct: 1 })

/** The drawings of the six prompts at one temperature. */
const heldOut = (scores: ReadonlyArray<number | undefined>) => texts.map((text, n) => ofPrompt(text, [drawn(scores[n])]))
const wrong = heldOut([0, 0, 0, 0, 0, 0])
const before: PolicyDrawn = {
  choice: [choice(0, 0.1), choice(1, 0.5)],
  heldOut: new Map([
    [0, wrong],
    [1, texts.map((text, n) =>
      ofPrompt(text, [drawn([1, 0.2, 0.2, 0.2, undefined, 1][n], { tokens: 10 }), drawn(n < 3 ? 1 : 0, { tokens: 20 })], [0, n < 3 ? 1 : 0]))]
  ])
}
const after: PolicyDrawn = {
  choice: [choice(0, 0.9), choice(1, 0.5)],
  heldOut: new Map([[0, heldOut([1, 1, 0.95, 0.3, undefined, 0.9])], [1, wrong]])
}
const parts = {
  yardstick: yardstickFor(texts.map(promptOf), [sceneScorer]),
  chosenOn: { prompts: 64, drawings: 4 },
  before,
  after,
  seed: 5,
  bestOf: { judge: "j", temperature: 1, k: 2 }
} as const

describe("learningOf", () => {
  const learning = learningOf(parts)

  it("knows the kinds of the grammar's prompts, and no kind of others", () => {
    assert.deepStrictEqual(texts.map((text) => kindOf(promptOf(text))), ["single", "single", "rider", "count", "relation", "pair"])
    assert.isUndefined(kindOf(promptOf("a dream")))
  })

  it("compares each policy at its own best temperature", () => {
    assert.deepStrictEqual([learning.before.bestTemperature, learning.after.bestTemperature], [1, 0])
    assert.deepStrictEqual(learning.right, {
      before: { ...wilson(2, 6), n: 6 },
      after: { ...wilson(4, 6), n: 6 },
      difference: pairedBootstrap([0, 1, 1, 0, 0, 0], 5)
    })
    assert.strictEqual(learning.score.before, (1 + 0.2 + 0.2 + 0.2 + 0 + 1) / 6) // did not render: 0
  })

  it("has the whole curve, best or not", () => {
    assert.deepStrictEqual(learning.after.curve.map(({ right, temperature, validity }) => [temperature, right!.value, validity]), [[0, 4 / 6, 5 / 6], [1, 0, 1]])
  })

  it("tells kinds apart", () => {
    assert.deepStrictEqual(
      learning.kinds.map(({ after, before, kind }) => [kind, before.n, before.value, after.value]),
      [["single", 2, 0.5, 1], ["pair", 1, 1, 1], ["relation", 1, 0, 0], ["count", 1, 0, 0], ["rider", 1, 0, 1]]
    )
  })

  it("tells the best of K with all its tokens, and one drawing of the trained policy against it", () => {
    assert.deepStrictEqual(learning.bestOf, {
      judge: "j",
      temperature: 1,
      of: [
        { k: 1, right: { ...wilson(2, 6), n: 6 }, score: learning.score.before, tokens: 10, trainedMinusThis: pairedBootstrap([0, 1, 1, 0, 0, 0], 5) },
        { k: 2, right: { ...wilson(4, 6), n: 6 }, score: (1 + 1 + 1 + 0.2 + 0 + 1) / 6, tokens: 30, trainedMinusThis: pairedBootstrap([0, 0, 0, 0, 0, 0], 5) }
      ]
    })
    assert.deepStrictEqual(learningOf({ ...parts, bestOf: { notAsked: "paid" } }).bestOf, { notAsked: "paid" })
    assert.deepStrictEqual([countsUpTo(8), countsUpTo(6), countsUpTo(2), countsUpTo(1), countsUpTo(0)], [[2, 4, 8], [2, 4, 6], [2], [], []])
  })
})
