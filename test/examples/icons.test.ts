/** The icons' rows: compact drawings, words and scores. The split is tested on the real packages (test/icons). */
import { assert, describe, it } from "vitest"
import { broken, completionOf, type Fault, faults, type Node, partsOf, svgOf } from "../../examples/icons/compact.ts"
import { iconsFor, says } from "../../examples/icons/clip-pairs.ts"
import { bestTemperature, compared, measured, rivalsOf, type Scored } from "../../examples/icons/scores.ts"
import { asked, askedWith, hasHeldOut, heldOutWords, type Named, stemOf, stemsOf } from "../../examples/icons/words.ts"
import { random } from "../../src/engine/random.ts"

const drawn = (...nodes: ReadonlyArray<Node>): string => completionOf(partsOf(nodes)!)
const path = (d: string): Node => ["path", { d }]

describe("compact drawings", () => {
  it("are one path in whole numbers, relative, no letter twice", () => {
    assert.strictEqual(drawn(path("M4 12 L10 12.2 L14 16"), path("M12 5v14")), `<path d="M4 12h6l4 4M12 5v14"/></svg>`)
  })
  it("draw two half circles as a circle", () => {
    assert.strictEqual(drawn(path("M4 19a2 2 0 1 0 4 0a2 2 0 1 0 -4 0")), `<circle cx="6" cy="19" r="2"/></svg>`)
  })
  it("draw a path with four round corners as a rectangle", () => {
    assert.strictEqual(
      drawn(path("M3 7a2 2 0 0 1 2 -2h14a2 2 0 0 1 2 2v10a2 2 0 0 1 -2 2h-14a2 2 0 0 1 -2 -2v-10z")),
      `<rect x="3" y="5" width="18" height="14" rx="2"/></svg>`
    )
  })
  it("do not take a square with bulging sides for a rectangle or a circle", () => {
    assert.strictEqual(
      drawn(path("M12 3c7.2 0 9 1.8 9 9c0 7.2 -1.8 9 -9 9c-7.2 0 -9 -1.8 -9 -9c0 -7.2 1.8 -9 9 -9")),
      `<path d="M12 3q10-1 9 9 1 10-9 9-10 1-9-9-1-10 9-9"/></svg>`
    )
  })
  it("do not take a star with hollow sides for one either", () => {
    assert.match(drawn(path("M9 18a6 6 0 0 1 6 -6a6 6 0 0 1 -6 -6a6 6 0 0 1 -6 6a6 6 0 0 1 6 6")), /^<path /)
  })
  it("draw a quarter of a circle as one quadratic curve, and keep a dot", () => {
    assert.strictEqual(drawn(path("M4 4a4 4 0 0 1 4 4"), path("M12 17h.01")), `<path d="M4 4q4 0 4 4M12 17h0"/></svg>`)
  })
  it("go on where a closed path began", () => {
    assert.strictEqual(drawn(path("M2 2h4v4z l9 9")), `<path d="M2 2h4v4zM2 2l9 9"/></svg>`)
  })
  it("are refused where they are more than strokes", () => {
    assert.isUndefined(partsOf([["path", { d: "M1 1h2", fill: "currentColor" }]]))
    assert.isUndefined(partsOf([["image", { href: "a.png" }]]))
  })
  it("come broken in three ways, each from a seed", () => {
    const parts = partsOf([path("M5 12h14"), path("M12 5v14"), ["circle", { cx: "12", cy: "12", r: "9" }]])!
    for (const fault of Object.keys(faults) as ReadonlyArray<Fault>) {
      const svg = broken(parts, fault, random(1))
      assert.notStrictEqual(svg, svgOf(parts), fault)
      assert.strictEqual(svg, broken(parts, fault, random(1)))
    }
  })
})

describe("words", () => {
  it("are compared by their stems", () => {
    assert.deepStrictEqual(["boxes", "batteries", "wheels", "glass", "bus", "gas", "icons"].map(stemOf), ["box", "battery", "wheel", "glass", "bus", "gas", "icon"])
    assert.deepStrictEqual(stemsOf("Shopping-Carts, e-commerce"), ["shopping", "cart", "e", "commerce"])
  })
  it("make prompts", () => {
    assert.strictEqual(asked("shopping-cart"), "shopping cart icon")
    assert.strictEqual(askedWith("shopping-cart", ["Trolley", "e-commerce"]), "shopping cart icon: trolley, e commerce")
    assert.strictEqual(askedWith("cart", []), "cart icon")
  })
  it("are found in compounds, and not in words that only look alike", () => {
    const words = new Set(["boat", "corn"])
    for (const text of ["a boat", "Boats", "sailboat icon", "boathouse"]) assert.isTrue(hasHeldOut(text, words), text)
    for (const text of ["corner", "boa", "acorn", "a bow"]) assert.isFalse(hasHeldOut(text, words), text)
  })
  it("that many names share are never held out", () => {
    const icons = Array.from({ length: 400 }, (_, n): Named => ({ name: `arrow-${String.fromCharCode(97 + n % 26)}word${n}`, tags: [] }))
    assert.isFalse(heldOutWords(icons).names.has("arrow"))
  })
  it("move no others when an icon is added", () => {
    const icons = Array.from({ length: 200 }, (_, n): Named => ({ name: "abcdefghij"[n % 10]! + "name" + "klmnopqrst"[Math.floor(n / 10) % 10]! + "xyz"[n % 3]!, tags: [] }))
    const before = heldOutWords(icons).names
    const after = heldOutWords([...icons, { name: "unheard", tags: ["new"] }]).names
    for (const word of before) assert.isTrue(after.has(word), word)
  })
  it("describe an icon if it has them all", () => {
    const [worded] = iconsFor([{ from: "lucide", name: "shopping-cart", tags: ["trolley"], hidden: [], side: "train", parts: [] }], "training words").train
    assert.isTrue(says("cart icon: trolley", worded!))
    assert.isFalse(says("cart icon: basket", worded!))
    // One of the icons is called "icons": said of every other, there would be no wrong text for it.
    assert.isFalse(says("icons icon", worded!))
  })
})

describe("scores of drawings", () => {
  const scored = (prompt: string, first: boolean, logit: number | undefined): Scored => ({ prompt, svg: "", tokens: 10, rendered: logit !== undefined, first, logit })
  it("rank a prompt among the same 19 others, never with itself", () => {
    const all = Array.from({ length: 50 }, (_, n) => `thing ${n} icon`)
    const rivals = rivalsOf("thing 7 icon", all)
    assert.strictEqual(new Set(rivals).size, 19)
    assert.notInclude(rivals, "thing 7 icon")
    assert.deepStrictEqual(rivals, rivalsOf("thing 7 icon", all))
  })
  it("count what did not render as wrong", () => {
    assert.deepStrictEqual(measured([scored("a", true, 4), scored("b", false, undefined)]), { validity: 0.5, first: 0.5, logit: 4, tokens: 10 })
  })
  it("choose the temperature at which most rank first, then the higher logit", () => {
    const at = (first: boolean, logit: number) => [scored("a", first, logit)]
    assert.strictEqual(bestTemperature(new Map([[0, at(false, 9)], [0.5, at(true, 1)], [1, at(true, 2)]])), 1)
  })
  it("compare prompt by prompt, whatever the order", () => {
    const before = [scored("a", false, 1), scored("b", false, 2)]
    const { first, logit } = compared(before, [scored("b", false, 5), scored("a", true, 2)])
    assert.strictEqual(first.value, 0.5)
    assert.strictEqual(logit.value, 2)
  })
})
