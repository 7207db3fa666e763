import { assert, describe, it } from "vitest"
import { assignment } from "../../../layers/guide/assignment.ts"
import { cosine, type Defect, defectAgreement, defectsAgreement, defectScore, diou, wordCosine } from "../../../layers/guide/defects.ts"
import { random } from "../../../src/engine/random.ts"

const defect = (box_2d: ReadonlyArray<number>, importance = 100, description = "a wheel is missing"): Defect => ({
  box_2d,
  importance,
  description,
  label: "artifact"
})
const whole = [0, 0, 1000, 1000]

describe("defectScore", () => {
  it("is minus importance times the root of the area", () => {
    assert.strictEqual(defectScore([]), 0)
    assert.strictEqual(defectScore([defect(whole)]), -1)
    // a quarter of the picture: root 0.5, times 0.4; and a hundredth: root 0.1, times 1
    assert.closeTo(defectScore([defect([0, 0, 500, 500], 40), defect([100, 100, 200, 200])]), -0.3, 1e-12)
  })
  it("takes corners in any order and cuts what lies outside", () => {
    assert.strictEqual(defectScore([defect([500, 500, 0, 0])]), -0.5)
    assert.strictEqual(defectScore([defect([-300, 0, 250, 4000])]), -0.5)
    assert.strictEqual(defectScore([defect(whole, 900)]), -1)
    assert.strictEqual(Math.abs(defectScore([defect([5, 5, 5, 900])])), 0)
  })
})

describe("diou", () => {
  it("of equal boxes is 1, of points too", () => {
    assert.strictEqual(diou(defect([10, 10, 90, 50]), defect([10, 10, 90, 50])), 1)
    assert.strictEqual(diou(defect([10, 10, 10, 10]), defect([10, 10, 10, 10])), 1)
  })
  it("of halves that share a third: IoU 1/3, centres 0.2 apart, diagonal² 0.6² + 0.2²", () => {
    const [a, b] = [defect([0, 0, 400, 200]), defect([200, 0, 600, 200])]
    assert.closeTo(diou(a, b), 1 / 3 - 0.04 / 0.4, 1e-12)
  })
  it("of boxes apart is below 0: opposite corners, centres 0.9 by 0.9 apart", () => {
    assert.closeTo(diou(defect([0, 0, 100, 100]), defect([900, 900, 1000, 1000])), -(2 * 0.81) / 2, 1e-12)
  })
})

it("words: two shared of three and two, one of them twice", () => {
  // counts (the 2, wheel 1) and (the 1, wheel 1, gone 1): 3 / sqrt(5 * 3)
  assert.closeTo(wordCosine("The wheel, the", "the WHEEL gone"), 3 / Math.sqrt(15), 1e-12)
  assert.strictEqual(wordCosine("", "the wheel"), 0)
  assert.closeTo(cosine([1, 2], [2, 4]), 1, 1e-12)
})

describe("agreement", () => {
  it("adds 0.6, 0.25 and 0.15", () => {
    const a = defect([0, 0, 400, 200], 100, "red wheel")
    assert.closeTo(defectAgreement(a, a), 1, 1e-12)
    // DIoU 1/3 - 0.1, cosine 1/2, importance 1 - 49.5/99
    const b = defect([200, 0, 600, 200], 50.5, "blue wheel")
    assert.closeTo(defectAgreement(a, b), 0.6 * (1 / 3 - 0.1) + 0.25 * 0.5 + 0.15 * 0.5, 1e-12)
    assert.closeTo(defectAgreement(a, b, () => 1), 0.6 * (1 / 3 - 0.1) + 0.25 + 0.15 * 0.5, 1e-12)
  })
  it("of lists: what is missed or made up counts 0, two empty lists agree", () => {
    const [a, b] = [defect([0, 0, 100, 100]), defect([800, 800, 900, 900], 10, "cut off")]
    assert.strictEqual(defectsAgreement([], []), 1)
    assert.strictEqual(defectsAgreement([a], []), 0)
    assert.strictEqual(defectsAgreement([], [a, b]), 0)
    assert.closeTo(defectsAgreement([b, a], [a, b]), 1, 1e-12)
    assert.closeTo(defectsAgreement([a], [a, b]), 0.5, 1e-12)
    assert.closeTo(defectsAgreement([b, a], [a]), 0.5, 1e-12)
  })
  it("matches as is best for all, not for the first", () => {
    const box = (x: number) => defect([x, 0, x + 100, 100], 50, "")
    const [found, annotated] = [[box(50), box(110)], [box(100), box(500)]]
    const worth = found.map((a) => annotated.map((b) => Math.max(0, defectAgreement(a, b))))
    const sums = [worth[0]![0]! + worth[1]![1]!, worth[0]![1]! + worth[1]![0]!]
    assert.closeTo(defectsAgreement(found, annotated), Math.max(...sums) / 2, 1e-12)
  })
})

describe("assignment", () => {
  const best = (worth: ReadonlyArray<ReadonlyArray<number>>, row = 0, taken: ReadonlyArray<number> = []): number =>
    row === worth.length
      ? 0
      : Math.max(
        ...worth[row]!.flatMap((w, c) => (taken.includes(c) ? [] : [w + best(worth, row + 1, [...taken, c])])),
        ...(worth.length > worth[0]!.length ? [best(worth, row + 1, taken)] : [])
      )
  it("finds the best of all permutations, of every shape to 5 by 5", () => {
    for (let n = 0; n < 300; n++) {
      const draw = random(0xa551, n)
      const [rows, columns] = [1 + Math.floor(draw() * 5), 1 + Math.floor(draw() * 5)]
      const worth = Array.from({ length: rows }, () => Array.from({ length: columns }, () => Math.round(draw() * 8)))
      const given = assignment(worth)
      const used = given.filter((column) => column >= 0)
      assert.strictEqual(used.length, Math.min(rows, columns))
      assert.strictEqual(new Set(used).size, used.length)
      assert.strictEqual(given.reduce((sum, c, r) => sum + (c < 0 ? 0 : worth[r]![c]!), 0), best(worth), JSON.stringify(worth))
    }
  })
  it("of nothing is nothing", () => {
    assert.deepStrictEqual(assignment([]), [])
    assert.deepStrictEqual(assignment([[], []]), [-1, -1])
  })
})
