/** What a policy is asked in its three roles, and what is read of its answers, which strangers may have written. */
import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import { type Critique, correctionText, critiqueAnswer, critiquePrefill, critiqueStop, critiqueText, readCritique } from "../../src/roles/roles.ts"

const critique: Critique = { score: 7.25, critique: "the circle is blue", suggestions: "Make it red." }
const read = (text: string) => Option.getOrUndefined(readCritique(text))

describe("questions", () => {
  it("a correction's has the request, the drawing in a fence, and what was said of it, a line each", () => {
    assert.strictEqual(
      correctionText("a red circle", "<svg>\n</svg>", { critique: " too\n\nblue ", suggestions: "Red.\tNow." }),
      "a red circle\n```xml\n<svg>\n</svg>\n```\nCritique: too blue\nSuggestions: Red. Now."
    )
  })

  it("a correction's is no longer than 400 characters for each thing said", () => {
    const [said, rest] = correctionText("a", "b", { critique: "x".repeat(1e6), suggestions: "y".repeat(401) }).split("\nSuggestions: ") as [string, string]
    assert.match(said, /Critique: x{397}\.\.\.$/)
    assert.strictEqual(rest, `${"y".repeat(397)}...`)
    assert.strictEqual(correctionText("a", "b", { critique: "", suggestions: "y".repeat(400) }).split("Suggestions: ")[1], "y".repeat(400))
  })

  it("a critique's has the request and what is seen", () => {
    assert.strictEqual(critiqueText("a red circle", "blue 1 2 3 4 of 9"), "a red circle\nSeen: blue 1 2 3 4 of 9\nWhat is wrong?")
  })
})

describe("a critic's answer", () => {
  it("is one line that is read back, begins as every answer does, and ends where sampling stops", () => {
    const odd = { score: 9.96, critique: "two\nlines \"and\" more", suggestions: "x".repeat(1000) }
    for (const said of [critique, odd]) {
      const answer = critiqueAnswer(said)
      assert.isTrue(answer.startsWith(critiquePrefill))
      assert.isTrue(answer.endsWith(critiqueStop))
      assert.notInclude(answer, "\n")
      assert.closeTo(read(answer)!.score, said.score, 0.05)
      assert.strictEqual(critiqueAnswer(read(answer)!), answer)
    }
    assert.deepStrictEqual(JSON.parse(critiqueAnswer(odd)), { score: 10, critique: "two lines \"and\" more", suggestions: `${"x".repeat(397)}...` })
  })
})

describe("what a model said", () => {
  const json = JSON.stringify(critique)
  const good: Readonly<Record<string, string>> = {
    "the JSON alone": json,
    "spread over lines": JSON.stringify(critique, null, 2),
    "in a fence": `\`\`\`json\n${json}\n\`\`\``,
    "after thoughts": `<think>{"score": 1} or 2?</think>${json}`,
    "after thoughts, in a fence, with more words": `<think>hm</think>Sure!\n\`\`\`\n${json}\n\`\`\`\nDo you want more?`,
    "with more keys": JSON.stringify({ thought: "hm", ...critique, better: true })
  }
  for (const [name, text] of Object.entries(good)) it(`is read: ${name}`, () => assert.deepStrictEqual(read(text), critique))

  it("may be a score at either end", () => {
    for (const score of [0, 10, -0]) assert.strictEqual(read(JSON.stringify({ ...critique, score }))?.score, score + 0)
  })

  const bad: Readonly<Record<string, string>> = {
    "nothing": "",
    "prose": "It is too blue: 7 of 10.",
    "a score over 10": JSON.stringify({ ...critique, score: 10.01 }),
    "a score below 0": JSON.stringify({ ...critique, score: -1 }),
    "NaN": json.replace("7.25", "NaN"),
    "Infinity": json.replace("7.25", "Infinity"),
    "a number that is too large": json.replace("7.25", "1e999"),
    "a score in words": JSON.stringify({ ...critique, score: "7" }),
    "null": JSON.stringify({ ...critique, score: null }),
    "no suggestions": JSON.stringify({ score: 1, critique: "a" }),
    "a list": JSON.stringify([critique]),
    "cut off": json.slice(0, -1),
    "thoughts that never end": `<think>${json}`
  }
  for (const [name, text] of Object.entries(bad)) it(`is none: ${name}`, () => assert.isUndefined(read(text)))

  // That its time is linear is tested in hostile-text.test.ts; a quadratic reader would take hours for this.
  it("is read soon, however long it is", () => {
    for (const piece of ["[", "{\"a\":[", "{\"score\":", "<think>", "```json\n", "{}", `${json},`]) {
      for (const [before, after] of [["", ""], ["</think>", "}"], [critiquePrefill, "}"], ["", json]] as const) {
        const text = before + piece.repeat(1e6 / piece.length) + after
        const start = process.cpuUsage()
        read(text)
        assert.isBelow(process.cpuUsage(start).user / 1e6, 1, `${before}${piece}...${after}`) // seconds of a processor, whoever else has them
      }
    }
  })
})
