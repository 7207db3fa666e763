/** What the icons' policy is taught and asked, on the real packages: no held-out word and no held-out drawing is trained. */
import { assert, describe, it } from "vitest"
import { iconsFor } from "../../examples/icons/clip-pairs.ts"
import { prefill, svgOf } from "../../examples/icons/compact.ts"
import { readIcons } from "../../examples/icons/icons.ts"
import { divide, hasHeldOut, heldOutWords } from "../../examples/icons/words.ts"
import { gate } from "../../src/drawing/gate.ts"

describe("the split", () => {
  const icons = readIcons()
  const training = icons.filter(({ side }) => side === "train")
  const heldOut = icons.filter(({ side }) => side === "heldout")
  const held = heldOutWords(icons.map(({ hidden, name, tags }) => ({ name, tags: [...tags, ...hidden] })))
  const all = new Set([...held.names, ...held.tags])

  it("holds out a tenth or so, of both packages", () => {
    const share = heldOut.length / icons.length
    assert.isAbove(share, 0.05)
    assert.isBelow(share, 0.2)
    for (const from of ["lucide", "tabler"]) assert.isAbove(heldOut.filter((icon) => icon.from === from).length, 50, from)
  })
  it("lets no held-out word into a training name or tag, as written by hand", () => {
    // Not by the split's own functions: a word of the list, its plural, or either within a longer word of two.
    const texts = training.flatMap(({ name, tags }) => [name, ...tags]).map((text) => text.toLowerCase())
    const words = new Set(texts.flatMap((text) => text.split(/[^a-z0-9]+/)))
    assert.deepStrictEqual([...all].filter((word) => words.has(word) || words.has(`${word}s`)), [])
  })
  it("has the names of no held-out icon in training", () => {
    const names = new Set(heldOut.map(({ name }) => name))
    const said = training.flatMap(({ name, tags }) => [name, ...tags.map((tag) => tag.toLowerCase().replaceAll(" ", "-"))])
    assert.deepStrictEqual(said.filter((text) => names.has(text)), [])
  })
  it("shows no held-out drawing in training", () => {
    const drawings = new Set(heldOut.map(({ parts }) => svgOf(parts)))
    assert.deepStrictEqual(training.filter(({ parts }) => drawings.has(svgOf(parts))).map(({ name }) => name), [])
  })
  it("has both packages' icons of one name on one side", () => {
    const sides = new Map<string, Set<string>>()
    for (const { name, side } of icons) sides.set(name, (sides.get(name) ?? new Set()).add(side))
    assert.deepStrictEqual([...sides].filter(([, of]) => of.size > 1), [])
  })
  it("would be seen to leak: a tag that is let through is found", () => {
    const [word] = held.names
    const leaking = divide([{ name: "thing", tags: [`${word}s`] }, ...icons.map(({ hidden, name, tags }) => ({ name, tags: [...tags, ...hidden] }))])
    assert.deepStrictEqual(leaking[0]!.hidden, [`${word}s`])
    assert.deepStrictEqual(leaking[0]!.tags, [])
  })
  it("gives the evaluator the held-out words, and keeps drawings from each CLIP", () => {
    const judge = iconsFor(icons, "training words")
    const evaluator = iconsFor(icons, "all words")
    assert.isTrue(judge.train.every(({ icon, tags }) => icon.side === "train" && !tags.some((tag) => hasHeldOut(tag, all))))
    assert.isTrue(evaluator.train.some(({ icon }) => icon.side === "heldout"))
    for (const { tests, train } of [judge, evaluator]) {
      const known = new Set(train.map(({ icon }) => icon))
      for (const [name, of] of Object.entries(tests)) {
        assert.isAbove(of.length, 40, name)
        assert.isFalse(of.some(({ icon }) => known.has(icon)), name)
      }
    }
  })
  it("passes the gate with every fifth drawing", () => {
    assert.deepStrictEqual(icons.filter((_, n) => n % 5 === 0).filter(({ parts }) => !gate(svgOf(parts)).ok).map(({ name }) => name), [])
    assert.isTrue(svgOf(icons[0]!.parts).startsWith(prefill))
  })
})
