import { assert, describe, it } from "vitest"
import { adapterFiles } from "../../src/model/adapter.ts"
import { judgedObjectives, objectiveOf } from "../../src/objectives/objectives.ts"
import { modelCard } from "../../src/run/model-card.ts"
import type { Summary } from "../../src/run/summary.ts"
import { evaluated } from "../support/evaluated.ts"

const base = { name: "owner/model", revision: null }
const summary = (of: Partial<Summary>): Summary => ({
  objective: "sigmoid",
  steps: 20,
  pairs: 900,
  advantages: 0,
  seconds: 61.4,
  ...evaluated,
  costUsd: 0,
  faults: {},
  alarms: [],
  ...of
})

describe("a model card", () => {
  it("names the objective, its source and what was learned from", () => {
    const dpo = modelCard(summary({}), base)
    assert.include(dpo.text, "trained by online DPO with vequinox: 20 steps on 900 preference pairs in 61 s.")
    assert.include(dpo.text, "Objective: `sigmoid`. DPO, Rafailov et al. 2023")
    assert.deepStrictEqual(dpo.tags, ["online-dpo"]) // TRL's
    const gradient = modelCard(summary({ objective: "reinforce", pairs: 0, advantages: 1200 }), base)
    assert.include(gradient.text, "trained by policy gradient with vequinox: 20 steps on 1200 judged drawings in 61 s.")
    assert.notMatch(JSON.stringify(gradient), /dpo|preference/i)
  })

  it("says what was learned, and how that was measured", () => {
    const { text } = modelCard(summary({}), base)
    assert.include(text, "Learned: drawings right 35 % to 78 %, riders 12 % to 71 %; counts (30 % to 32 %) did not measurably improve.")
    assert.include(text, "| on 256 held-out prompts, each policy at its best temperature | before | after |")
    assert.include(text, "| best temperature | 0.3 | 0 |")
    assert.include(text, "| drawings right | 35.0 % | 78.0 % |")
    assert.include(text, "n = 256, of which 180 did not tie")
    assert.notMatch(modelCard(summary({ learning: null }), base).text, /held-out|Win rate/)
  })

  it("of every objective says the row's own source", () => {
    for (const objective of judgedObjectives) {
      assert.include(modelCard(summary({ objective }), base).text, objectiveOf({ lossType: objective }).source)
    }
  })

  it("has the tags in its front matter; an adapter that nobody says how it was trained has no method's", () => {
    const readme = (card?: ReturnType<typeof modelCard>) =>
      String(new Map(adapterFiles(new Map(), { r: 1, alpha: 1, targets: [] }, base, card)).get("README.md"))
    assert.include(readme(modelCard(summary({}), base)), "tags:\n- lora\n- online-dpo\n- svg\n- vequinox\n---\n")
    assert.include(readme(), "tags:\n- lora\n- svg\n- vequinox\n---\n")
  })
})
