import { assert, describe, it } from "vitest"
import { type Defect, defectScore } from "../../../layers/guide/defects.ts"

const defect = (box_2d: ReadonlyArray<number>, importance = 100): Defect => ({
  box_2d,
  importance,
  description: "a wheel is missing",
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
