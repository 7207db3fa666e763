import { assert, describe, it } from "vitest"
import { sceneScorer } from "../../src/evaluation/scene-check.ts"
import { categoryOf, type Asked, type PolicyDrawings, standings } from "../../src/evaluation/standing.ts"
import { variantStandings } from "../../src/evaluation/variants.ts"
import { promptOf } from "../../src/prompts.ts"
import { renderComparison } from "../../src/report/comparison.ts"
import { drawn, ofPrompt } from "./drawn.ts"

const texts = ["a pelican", "a red circle above a blue square", "three green stars", "something else"]
const asked: ReadonlyArray<Asked> = texts.map((text) => ({ prompt: promptOf(text), category: categoryOf(promptOf(text), text === "three green stars" ? "numbers" : undefined) }))
const svg = "<svg><rect/><path/><circle/><path/></svg>"

/** One drawing of each prompt, by their scores; undefined does not render. */
const single = (scores: ReadonlyArray<number | undefined>) => texts.map((text, n) => ofPrompt(text, [drawn(scores[n], { svg })]))
const policy = (name: string, best: ReadonlyArray<number | undefined>, more: Partial<PolicyDrawings> = {}): PolicyDrawings => ({
  name, choice: new Map(), best: 0, several: undefined, seconds: 0.1, drawn: new Map([[0, single(best)], [1, single([0.5, 0.5, 0.5, undefined])]]), ...more
})
const yardstick = { measure: "right", scorer: sceneScorer } as const
const of = (...policies: ReadonlyArray<PolicyDrawings>) => standings(asked, policies, yardstick, [sceneScorer], 1)

describe("standings", () => {
  it("count what is right, by category, and compare with the first policy prompt by prompt", () => {
    const [base, trained] = of(policy("base", [0.95, 0.2, 0.4, 1]), policy("trained", [0.95, 1, 0.3, 1]))
    // "something else" has no right and wrong.
    assert.deepInclude(base!.best.right!, { n: 3, value: 1 / 3 })
    assert.closeTo(trained!.best.worth, 2 / 3, 1e-12)
    assert.deepStrictEqual(trained!.best.categories.map(({ category, prompts, right }) => [category, prompts, right?.value]), [
      ["single", 1, 1], ["relation", 1, 1], ["numbers", 1, 0], ["other", 1, undefined]
    ])
    assert.isNull(base!.against)
    assert.closeTo(trained!.against!.difference.value, 1 / 3, 1e-12)
    assert.deepInclude(trained!.against!.winRates[0]!, { scorer: "scene check", decided: 2 })
    assert.closeTo(trained!.best.primitives, 0.5, 1e-12)
    assert.strictEqual(trained!.plain.temperature, 1)
  })

  it("tell scores of those that render, and of all, where one that does not counts as nothing", () => {
    const [one] = of(policy("base", [1, undefined, 0.5, 0.9]))
    assert.strictEqual(one!.best.validity, 0.75)
    // The scene check knows nothing of "something else", but a made-up score of it is one of the scorer's.
    assert.closeTo(one!.best.scores[0]!.valid, (1 + 0.5 + 0.9) / 3, 1e-12)
    assert.closeTo(one!.best.scores[0]!.all, (1 + 0 + 0.5 + 0.9) / 4, 1e-12)
  })

  it("tell best, mean and worst of several, and what the judge chose", () => {
    const many = texts.map((text, n) => ofPrompt(text, [drawn(0.5, { tokens: 4 }), drawn(n === 0 ? 0.5 : 1, { tokens: 6 })], [0, 1]))
    const [one] = of(policy("base", [1, 1, 1, 1], { several: 0.7, drawn: new Map([[0, single([1, 1, 1, 1])], [0.7, many], [1, single([1, 1, 1, 1])]]) }))
    const { chosen, distinct, k, temperature, worth } = one!.several!
    assert.deepStrictEqual([k, temperature, distinct], [2, 0.7, 1])
    assert.closeTo(worth.best, 2 / 3, 1e-12)
    assert.closeTo(worth.mean, 1 / 3, 1e-12)
    assert.strictEqual(worth.worst, 0)
    assert.deepStrictEqual(chosen.map(({ k, tokens }) => [k, tokens]), [[1, 4], [2, 10]])
    assert.closeTo(chosen[1]!.worth, 2 / 3, 1e-12)
  })

  it("are a page that needs nothing else, in which foreign text is text", () => {
    const hostile = "<script>alert(1)</script>\"'"
    const own: ReadonlyArray<Asked> = [{ prompt: promptOf(hostile), category: hostile }]
    const wild = [{ ...policy("base", []), drawn: new Map([0, 1].map((t) => [t, [ofPrompt(hostile, [drawn(undefined, { outcome: hostile, svg: hostile })])]])) }]
    const page = renderComparison({
      asked: own, drawn: wild, standings: standings(own, wild, { measure: "score", scorer: sceneScorer }, [sceneScorer], 1),
      yardstick: { measure: "score", scorer: hostile }, judge: hostile, temperatures: [0, 1], chosenOn: 3
    })
    assert.notInclude(page, "<script")
    assert.notInclude(page, "data:image/svg+xml") // it did not render, so nobody looks at it
    assert.include(page, "&lt;script&gt;alert(1)")
    assert.notMatch(page, /(src|href)="(?!data:)/)
  })
})

describe("variants", () => {
  const runs = [
    { name: "dpo", seeds: [policy("dpo-1", [1, 0.2, 0.2, 1]), policy("dpo-2", [1, 1, 0.2, 1])] },
    { name: "sft", seeds: [policy("sft-1", [1, 1, 1, 1]), policy("sft-2", [1, 1, 0.2, 1])] }
  ]
  const [dpo, sft] = variantStandings(asked, policy("base", [0.2, 0.2, 0.2, 1]), runs, yardstick, 1)

  it("are means over the seeds, with the seeds' range, beside the base and the first variant", () => {
    assert.closeTo(dpo!.worth.value, 0.5, 1e-12)
    assert.deepStrictEqual([dpo!.lowest, dpo!.highest].map((x) => Math.round(3 * x)), [1, 2])
    assert.closeTo(sft!.worth.value, 5 / 6, 1e-12)
    assert.closeTo(sft!.minusBase.value, 5 / 6, 1e-12)
    assert.isNull(dpo!.minusFirst)
    assert.closeTo(sft!.minusFirst!.value, 1 / 3, 1e-12) // (0 + 1/2 + 1/2) / 3
    assert.deepStrictEqual(sft!.categories.map(({ category, worth }) => [category, worth]), [["single", 1], ["relation", 1], ["numbers", 0.5], ["other", 0]])
  })
})
