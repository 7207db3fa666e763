/** Rows from judged drawings: each kind, IntroSVG's shapes, and what gives no row. */
import { assert, describe, it } from "vitest"
import { promptOf } from "../../src/prompts.ts"
import { readCritique } from "../../src/roles/roles.ts"
import type { JudgedPrompt } from "../../src/rows/judged-prompt.ts"
import { introSvgOf, preferenceOf, rowsOf } from "../../src/rows/made.ts"

type JudgedDrawing = JudgedPrompt["drawings"][number]

const drawing = (svg: string, changes: Partial<JudgedDrawing> = {}): JudgedDrawing =>
  ({ svg, outcome: "rendered", seen: `seen in ${svg}`, won: 0.5, critique: null, lost: false, ...changes })
const critique = (score: number) => ({ score, critique: `worth ${score}`, suggestions: "Draw more." })

const judged: JudgedPrompt = {
  id: "a-cat",
  prompt: promptOf("a cat"),
  best: 1,
  drawings: [
    drawing("<svg>tie</svg>"),
    drawing("<svg>best</svg>", { won: 0.9, critique: critique(9) }),
    drawing("<svg>worse</svg>", { won: 0.3, lost: true }),
    drawing("<svg>worst</svg>", { won: 0.1, lost: true, critique: critique(2), outcome: "rejected: malformed" })
  ],
  costUsd: 0
}

describe("rowsOf", () => {
  it("draws the best, corrects criticised drafts that lost to it, criticises both, and says which drawing each is from", () => {
    const rows = rowsOf(judged, "Draw a cat")
    assert.deepStrictEqual(rows.map(({ from, kind }) => [kind, from]), [
      ["direct", "drawings/a-cat-1.svg"],
      ["correction", "drawings/a-cat-3.svg"],
      ["critique", "drawings/a-cat-1.svg"],
      ["critique", "drawings/a-cat-3.svg"]
    ])
    const [direct, correction, , worst] = rows
    assert.deepStrictEqual([direct!.prompt, direct!.completion], ["Draw a cat", "<svg>best</svg>"])
    assert.strictEqual(
      correction!.prompt,
      "Draw a cat\n```xml\n<svg>worst</svg>\n```\nCritique: worth 2\nSuggestions: Draw more."
    )
    assert.strictEqual(correction!.completion, "<svg>best</svg>")
    assert.strictEqual(worst!.prompt, "Draw a cat\nSeen: seen in <svg>worst</svg>\nWhat is wrong?")
    const read = readCritique(worst!.completion)
    assert.strictEqual(read._tag === "Some" ? read.value.score : undefined, 2)
  })

  it("gives nothing where no drawing is better than another", () => {
    const equal = { ...judged, best: null, drawings: judged.drawings.map((each) => ({ ...each, lost: false, critique: null })) }
    assert.deepStrictEqual(rowsOf(equal, "a cat"), [])
    assert.isUndefined(preferenceOf(equal))
    assert.deepStrictEqual(Object.values(introSvgOf([equal], (text) => text)).map((rows) => rows.length), [0, 0, 0, 0])
  })
})

describe("preferenceOf", () => {
  it("chooses the best over the worst that lost to it, never over itself", () => {
    assert.deepStrictEqual(preferenceOf(judged), { prompt: "a cat", chosen: "<svg>best</svg>", rejected: "<svg>worst</svg>" })
    const same = { ...judged, drawings: judged.drawings.map((each) => ({ ...each, svg: "<svg/>" })) }
    assert.isUndefined(preferenceOf(same))
  })
})

describe("introSvgOf", () => {
  it("has IntroSVG's four arrays; a critique names a picture, so a draft without one has none", () => {
    const files = introSvgOf([judged], (text) => `Draw ${text}`)
    const [direct] = files["direct.json"]
    assert.deepStrictEqual(direct, {
      messages: [{ role: "user", content: "Draw a cat" }, { role: "assistant", content: "<svg>best</svg>" }],
      images: []
    })
    assert.strictEqual(files["correction.json"].length, 1)
    assert.deepStrictEqual(files["critique.json"].map(({ images }) => images), [["draft_image/a-cat-1.png"]])
    assert.include(files["critique.json"][0]!.messages[0]!.content, "<image>")
    assert.deepStrictEqual(files["dpo.json"], [{
      conversations: [{ from: "human", value: "Draw a cat" }],
      chosen: { from: "gpt", value: "<svg>best</svg>" },
      rejected: { from: "gpt", value: "<svg>worst</svg>" }
    }])
  })
})
