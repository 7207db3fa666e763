import { assert, describe, it } from "@effect/vitest"
import { bestTemperature, choicesOf, distinctAtOneEntropy, distinctShare, gridOf } from "../../src/evaluation/temperature.ts"
import { sceneScorer } from "../../src/evaluation/scene-check.ts"
import { yardstickFor } from "../../src/evaluation/worth.ts"
import { promptOf } from "../../src/prompts.ts"
import { drawn, ofPrompt } from "./drawn.ts"

const choice = (temperature: number, worth: number, entropy = 0, distinct = 0) => ({ temperature, worth, entropy, distinct })

describe("the grid", () => {
  it("is ascending, without repetition, and always has greedy drawing and the policy itself", () => {
    assert.deepStrictEqual(gridOf([0.7, 0.3, 0.7]), [0, 0.3, 0.7, 1])
    assert.deepStrictEqual(gridOf([1.5]), [0, 1, 1.5])
  })
})

describe("the best temperature", () => {
  it("is the one of highest worth, and of equal ones the highest", () => {
    assert.strictEqual(bestTemperature([choice(0, 0.5), choice(0.3, 0.7), choice(0.5, 0.6)]), 0.3)
    assert.strictEqual(bestTemperature([choice(0, 0.7), choice(0.3, 0.7), choice(0.5, 0.6)]), 0.3)
    assert.strictEqual(bestTemperature([choice(1, -3), choice(0, -2)]), 0)
  })

  it("is chosen by the share right over all drawings; one that does not render is wrong", () => {
    const at = (...scores: ReadonlyArray<number | undefined>) => [ofPrompt("a pelican", scores.map((score) => drawn(score)))]
    const yardstick = yardstickFor([promptOf("a pelican")], [sceneScorer])
    const choices = choicesOf(yardstick, new Map([[0.5, at(0.95, 0.9, 0.89, undefined)], [1, at(1, 0.5, 0.5, 0.5)]]))
    assert.deepStrictEqual(choices.map(({ worth }) => worth), [0.5, 0.25])
    assert.strictEqual(bestTemperature(choices), 0.5)
  })

  it("is chosen by another scorer's mean where prompts have no right; a drawing that does not render is worth the worst", () => {
    const other = { name: "other", score: sceneScorer.score }
    const yardstick = yardstickFor([promptOf("something free"), promptOf("a dream"), promptOf("a pelican")], [sceneScorer, other])
    assert.strictEqual(yardstick.scorer, other)
    const at = (...scores: ReadonlyArray<number | undefined>) =>
      [ofPrompt("a dream", scores.map((score) => drawn(score, { scorer: "other" })))]
    const choices = choicesOf(yardstick, new Map([[0, at(4, undefined)], [1, at(-2, 3)]]))
    assert.deepStrictEqual(choices.map(({ worth }) => worth), [1, 0.5])
  })
})

describe("distinct drawings", () => {
  it("count within a prompt, among those that rendered", () => {
    const same = { hash: "same" }
    const all = [
      ofPrompt("a cat", [drawn(1, same), drawn(1, same), drawn(1), drawn(undefined)]),
      ofPrompt("a fish", [drawn(1, same), drawn(undefined), drawn(undefined), drawn(undefined)])
    ]
    assert.strictEqual(distinctShare(all), 3 / 4)
    assert.strictEqual(distinctShare([ofPrompt("a cat", [drawn(undefined)])]), 0)
  })

  it("are compared at the highest entropy that both policies reach at temperature 1, between measured points", () => {
    const before = [choice(0, 0, 0, 0.25), choice(0.5, 0, 10, 0.75), choice(1, 0, 30, 0.95)]
    const after = [choice(0, 0, 0, 0.25), choice(0.5, 0, 8, 0.6), choice(1, 0, 20, 0.8)]
    assert.deepStrictEqual(distinctAtOneEntropy(before, after), { entropy: 20, before: 0.85, after: 0.8 })
    const sharp = [choice(0, 0, 1, 0.25), choice(1, 0, 0.5, 0.2)]
    assert.deepStrictEqual(distinctAtOneEntropy(sharp, after), { entropy: 0.5, before: 0.2, after: 0.25 + 0.35 * 0.5 / 8 })
  })
})
