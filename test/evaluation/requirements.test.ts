import { assert, describe, it } from "vitest"
import { type Check, ratioOf, requirementMeasures, type RequirementsChecked } from "../../src/evaluation/requirements.ts"
import { requirementsResult, requirementTable } from "../../src/evaluation/requirements-told.ts"
import { sceneScorer } from "../../src/evaluation/scene-check.ts"
import { type Asked, type PolicyDrawings, standings } from "../../src/evaluation/standing.ts"
import { promptOf } from "../../src/prompts.ts"
import { renderComparison } from "../../src/report/comparison.ts"
import { drawn, ofPrompt } from "./drawn.ts"

const checked = (...met: ReadonlyArray<0 | 1>): Check => ({ outcome: "checked", rows: met.map((one, n) => ({ met: one === 1, evidence: `saw ${n}` })) })
const invalid: Check = { outcome: "invalid", reason: "rejected: blank" }
const unanswered: Check = { outcome: "unanswered", reason: "it was refused" }
const categories = ["animals", "animals", "things", "things"]

describe("requirement measures", () => {
  it("are means of met / n, with an invalid drawing 0 of n, and beside it those that render", () => {
    const [one] = requirementMeasures(categories, [[checked(1, 0), checked(1, 1, 0), invalid, checked(1)]], 1)
    assert.closeTo(one!.all, (1 / 2 + 2 / 3 + 0 + 1) / 4, 1e-12)
    assert.closeTo(one!.rendered, (1 / 2 + 2 / 3 + 1) / 3, 1e-12)
    assert.deepInclude(one!, { prompts: 4, renders: 3, unanswered: 0, against: null })
    assert.deepStrictEqual(one!.categories.map(({ category, prompts }) => [category, prompts]), [["animals", 2], ["things", 2]])
    assert.closeTo(one!.categories[1]!.all, 0.5, 1e-12)
    assert.closeTo(one!.categories[1]!.rendered, 1, 1e-12)
  })

  it("are never more than all and never less than nothing", () => {
    for (const check of [checked(1, 1, 1), checked(0, 0), checked(1, 0), invalid]) {
      assert.isAtLeast(ratioOf(check)!, 0)
      assert.isAtMost(ratioOf(check)!, 1)
    }
  })

  it("a drawing without an answer counts nowhere, and is told", () => {
    const [one, two] = requirementMeasures(categories, [[checked(1), checked(0), invalid, checked(1)], [unanswered, checked(1), invalid, checked(1)]], 1)
    assert.deepInclude(two!, { prompts: 3, renders: 2, unanswered: 1 })
    assert.closeTo(two!.all, 2 / 3, 1e-12)
    assert.closeTo(one!.all, 0.5, 1e-12)
    // Paired over the prompts that both have: 0 to 1, 0 to 0, 1 to 1.
    assert.closeTo(two!.against!.all.value, 1 / 3, 1e-12)
    assert.closeTo(two!.against!.rendered.value, 1 / 2, 1e-12)
    assert.isAtMost(two!.against!.all.lower, 1 / 3)
    assert.isAtLeast(two!.against!.all.upper, 1 / 3)
  })
})

describe("told", () => {
  const hostile = "<script>alert(1)</script>"
  const asked: ReadonlyArray<Asked> = ["a cat", "a hat"].map((text) => ({ prompt: promptOf(text), category: "things", requirements: ["Is it red?", hostile] }))
  const checks = [[checked(1, 0), invalid], [checked(1, 1), unanswered]]
  const all: RequirementsChecked = { guide: "claude-haiku-4-5", costUsd: 0.0123, checks, measures: requirementMeasures(["things", "things"], checks, 1) }

  it("evaluation.json says for every prompt which requirements are met", () => {
    const { prompts, unanswered } = requirementsResult(asked, ["base", "new"], all)
    assert.strictEqual(unanswered, 1)
    assert.deepStrictEqual(prompts[0]!.drawings[0], { policy: "base", outcome: "checked", met: [true, false], evidence: ["saw 0", "saw 1"] })
    assert.deepStrictEqual(prompts[1]!.drawings, [
      { policy: "base", outcome: "invalid", reason: "rejected: blank" },
      { policy: "new", outcome: "unanswered", reason: "it was refused" }
    ])
  })

  it("the terminal has both means, their differences and what was paid", () => {
    const lines = requirementTable(["base", "new"], all)
    assert.match(lines[1]!, /^base +25\.0 % +50\.0 %$/)
    assert.match(lines[2]!, /^new +100\.0 % +\+50\.0 \[\+50\.0, \+50\.0\] +100\.0 % +\+50\.0 /)
    assert.match(lines[3]!, /^Checked by claude-haiku-4-5 for \$0\.0123; /)
    assert.match(lines[4]!, /^1 drawing got no usable answer and counts nowhere/)
  })

  it("the page has what was not met under each drawing, and foreign text is text", () => {
    const svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"><rect/></svg>"
    const policies = ["base", "new"].map((name): PolicyDrawings => ({
      name, choice: new Map(), best: 1, several: undefined, seconds: 0.1,
      drawn: new Map([[1, [ofPrompt("a cat", [drawn(1, { svg })]), ofPrompt("a hat", [drawn(undefined)])]]])
    }))
    const page = renderComparison({
      asked, drawn: policies, standings: standings(asked, policies, { measure: "score", scorer: sceneScorer }, [sceneScorer], 1),
      yardstick: { measure: "score", scorer: "scene check" }, judge: null, temperatures: [1], chosenOn: 0, requirements: all
    })
    assert.include(page, "<summary>1 of 2 met</summary><ul><li>&lt;script&gt;alert(1)&lt;/script&gt; <small>saw 1</small></li></ul>")
    assert.include(page, "<small>2 of 2 met</small>")
    assert.include(page, "<summary>not checked</summary>it was refused")
    assert.notInclude(page, "<script")
  })
})
