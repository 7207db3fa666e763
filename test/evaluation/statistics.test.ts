import { assert, describe, it } from "@effect/vitest"
import { random } from "../../src/engine/random.ts"
import { cohenKappa, mean, pairedBootstrap, percent, wilson } from "../../src/evaluation/statistics.ts"

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

it("percent has one digit after the point, and keeps a minus", () => {
  assert.deepStrictEqual([0, 0.625, 1, -0.0312].map(percent), ["0.0 %", "62.5 %", "100.0 %", "-3.1 %"])
})

describe("pairedBootstrap", () => {
  const differences = [...Array.from({ length: 60 }, () => 1), ...Array.from({ length: 100 }, () => 0), ...Array.from({ length: 40 }, () => -1)]

  it("is the same for the same seed, and hardly another for another seed", () => {
    const [one, two] = [pairedBootstrap(differences, 1), pairedBootstrap(differences, 2)]
    assert.deepStrictEqual(one, pairedBootstrap(differences, 1))
    assert.notDeepEqual(one, two)
    assert.strictEqual(one.value, mean(differences))
    // The standard error of the mean is sqrt(0.49 / 200).
    for (const { lower, upper } of [one, two]) {
      assert.approximately(lower, 0.1 - 1.96 * 0.0495, 0.012)
      assert.approximately(upper, 0.1 + 1.96 * 0.0495, 0.012)
    }
  })

  it("holds the true mean in about 95 of 100 samples", () => {
    const draw = random(9)
    const holds = Array.from({ length: 100 }, (_, seed) => {
      const { lower, upper } = pairedBootstrap(Array.from({ length: 60 }, () => draw() < 0.3 ? 1 : 0), seed)
      return lower <= 0.3 && 0.3 <= upper
    })
    assert.isAtLeast(holds.filter(Boolean).length, 88)
    assert.isAtMost(holds.filter(Boolean).length, 99)
  })

  it("of equal differences is a point; of none says nothing", () => {
    assert.deepStrictEqual(pairedBootstrap([1, 1, 1], 0), { value: 1, lower: 1, upper: 1 })
    assert.deepStrictEqual(pairedBootstrap([], 0), { value: 0, lower: -1, upper: 1 })
  })
})

describe("cohenKappa", () => {
  const table = (...counts: ReadonlyArray<readonly [string, string, number]>) =>
    counts.flatMap(([a, b, n]) => Array.from({ length: n }, () => [a, b] as const))
  // Grants read by two readers; then equal agreement of 60 %, by two pairs of raters with other habits. Worked by hand.
  it.each([
    [20, 5, 10, 15, 0.4],
    [45, 15, 25, 15, 0.06 / 0.46],
    [25, 35, 5, 35, 0.14 / 0.54]
  ])("yes-yes %d, yes-no %d, no-yes %d, no-no %d", (yy, yn, ny, nn, kappa) => {
    assert.approximately(cohenKappa(table(["yes", "yes", yy], ["yes", "no", yn], ["no", "yes", ny], ["no", "no", nn])), kappa, 1e-12)
  })
  it("is 1 for one mind, 0 for chance, below for contradiction, and undefined where there is nothing to agree on", () => {
    assert.approximately(cohenKappa(table(["A", "A", 3], ["B", "B", 4], ["tie", "tie", 5])), 1, 1e-12)
    assert.approximately(cohenKappa(table(["A", "A", 1], ["A", "B", 1], ["B", "A", 1], ["B", "B", 1])), 0, 1e-12)
    assert.approximately(cohenKappa(table(["A", "B", 1], ["B", "A", 1])), -1, 1e-12)
    assert.isNaN(cohenKappa(table(["A", "A", 9])))
    assert.isNaN(cohenKappa([]))
  })
})
