import { assert, describe, it } from "@effect/vitest"
import { wilson } from "../src/statistics.ts"

describe("wilson", () => {
  // All but the first from Newcombe 1998, table I, method 3, whose z has more digits.
  it.each([
    [50, 100, 0.4038, 0.5962],
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718]
  ])("%d in %d", (successes, n, lower, upper) => {
    const interval = wilson(successes, n)
    assert.strictEqual(interval.value, successes / n)
    assert.approximately(interval.lower, lower, 6e-5)
    assert.approximately(interval.upper, upper, 6e-5)
  })

  it("stays within 0 and 1 and mirrors when successes and failures change places", () => {
    for (const n of [1, 2, 7, 100]) {
      for (let successes = 0; successes <= n; successes += 0.5) {
        const { lower, upper, value } = wilson(successes, n)
        const mirrored = wilson(n - successes, n)
        assert.isTrue(0 <= lower && lower <= value && value <= upper && upper <= 1)
        assert.approximately(mirrored.lower, 1 - upper, 1e-12)
      }
    }
  })

  it("narrows with n, widens with z", () => {
    const width = (n: number, z?: number) => {
      const { lower, upper } = wilson(n / 2, n, z)
      return upper - lower
    }
    assert.isBelow(width(400), width(100))
    assert.isAbove(width(100, 2.576), width(100))
  })

  it("knows nothing of nothing", () => {
    assert.deepStrictEqual(wilson(0, 0), { value: 0, lower: 0, upper: 1 })
  })
})
