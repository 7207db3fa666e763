import { assert, describe, it } from "@effect/vitest"
import { sceneScorer } from "../../src/evaluation/scene-check.ts"
import { wilson } from "../../src/evaluation/statistics.ts"
import { winRate, winRates, winnerOf } from "../../src/evaluation/win-rate.ts"
import { promptOf } from "../../src/prompts.ts"
import { drawn, ofPrompt } from "./drawn.ts"

const scorer = { ...sceneScorer, margin: 0.25 }
const cat = promptOf("a cat")

describe("a win", () => {
  it("needs more than the margin", () => {
    assert.strictEqual(winnerOf(scorer, cat, drawn(0.5), drawn(0.75)), "tie")
    assert.strictEqual(winnerOf(scorer, cat, drawn(0.75), drawn(0.5)), "tie")
    assert.strictEqual(winnerOf(scorer, cat, drawn(0.5), drawn(0.76)), "after")
    assert.strictEqual(winnerOf(scorer, cat, drawn(0.76), drawn(0.5)), "before")
    assert.strictEqual(winnerOf({ name: "scene check", score: sceneScorer.score }, cat, drawn(0.5), drawn(0.5000001)), "after")
  })

  it("goes to the drawing that rendered; two that did not tie; a prompt that the scorer does not know counts for nobody", () => {
    assert.strictEqual(winnerOf(scorer, cat, drawn(undefined), drawn(0)), "after")
    assert.strictEqual(winnerOf(scorer, cat, drawn(0), drawn(undefined)), "before")
    assert.strictEqual(winnerOf(scorer, cat, drawn(undefined), drawn(undefined)), "tie")
    assert.isUndefined(winnerOf(scorer, promptOf("a dream"), drawn(undefined), drawn(undefined)))
  })
})

describe("winRate", () => {
  it("counts ties half, and tells the prompts that decided apart", () => {
    const rate = winRate({ name: "s", margin: 0.1 }, ["after", "after", "before", "tie", "tie", "after"])
    assert.deepInclude(rate, { scorer: "s", margin: 0.1, n: 6, decided: 4, decidedRate: wilson(3, 4), ...wilson(4, 6) })
    assert.deepInclude(winRate({ name: "s" }, ["tie"]), { value: 0.5, decided: 0, margin: 0 })
  })

  it("pairs prompts in their order, and leaves out a scorer that knows none of them", () => {
    const before = [ofPrompt("a cat", [drawn(0.1), drawn(1)]), ofPrompt("a dream", [drawn(0.1)])]
    const after = [ofPrompt("a cat", [drawn(0.9)]), ofPrompt("a dream", [drawn(0.9)])]
    const rates = winRates([scorer, { name: "other", score: sceneScorer.score }], before, after)
    assert.deepStrictEqual(rates.map(({ n, scorer, value }) => ({ n, scorer, value })), [{ n: 1, scorer: "scene check", value: 1 }])
  })
})
