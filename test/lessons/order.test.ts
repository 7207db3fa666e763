import { assert, describe, it } from "vitest"
import { JudgedPair, type Outcome } from "../../src/domain.ts"
import { bradleyTerry } from "../../src/lessons/bradley-terry.ts"
import { random } from "../../src/engine/random.ts"
import { hasCycle, strengths, winRates, withoutCycles } from "../../src/lessons/order.ts"
import { selectPreferences } from "../../src/lessons/select.ts"
import { candidate, verdict } from "../stages/make.ts"

const judged = (a: number, b: number, outcome: Outcome, confidence = 0.5, by = "judge") =>
  new JudgedPair({ a: candidate({ index: a }), b: candidate({ index: b }), verdict: verdict({ outcome, confidence, by }) })

describe("Bradley-Terry", () => {
  it("is the maximum of the penalised likelihood, which no step away improves", () => {
    const draw = random(1)
    const comparisons = Array.from({ length: 60 }, () => {
      const a = Math.floor(draw() * 6)
      const b = (a + 1 + Math.floor(draw() * 5)) % 6
      return { a, b, win: [0, 0.5, 1][Math.floor(draw() * 3)]!, weight: 0.2 + draw() }
    })
    const l2 = 0.3
    const value = (s: ReadonlyArray<number>) =>
      comparisons.reduce((sum, { a, b, weight, win }) => {
        const d = s[a]! - s[b]!
        return sum - weight * (win * Math.log1p(Math.exp(-d)) + (1 - win) * Math.log1p(Math.exp(d)))
      }, 0) - l2 / 2 * s.reduce((sum, x) => sum + x * x, 0)
    const { strength } = bradleyTerry(6, comparisons, l2)
    const best = value(strength)
    for (let i = 0; i < 6; i++) {
      for (const by of [-1e-3, 1e-3]) assert.isBelow(value(strength.map((x, j) => (i === j ? x + by : x))), best)
    }
  })

  it("recovers strengths, and its standard errors are what repeated samples show", () => {
    const truth = [1.5, 0.5, -0.5, -1.5]
    const fits = Array.from({ length: 200 }, (_, trial) => {
      const draw = random(2, trial)
      const games = truth.flatMap((_, a) => truth.slice(a + 1).map((_, i) => [a, a + 1 + i] as const))
      return bradleyTerry(
        4,
        Array.from({ length: 60 }, () => games).flat().map(([a, b]) => ({
          a,
          b,
          win: draw() < 1 / (1 + Math.exp(truth[b]! - truth[a]!)) ? 1 : 0,
          weight: 1
        })),
        0.01
      )
    })
    truth.forEach((x, i) => {
      const found = fits.map(({ strength }) => strength[i]!)
      const mean = found.reduce((a, b) => a + b, 0) / found.length
      assert.closeTo(mean, x, 0.1)
      const spread = Math.sqrt(found.reduce((sum, y) => sum + (y - mean) ** 2, 0) / found.length)
      const claimed = fits.reduce((sum, { standardError }) => sum + standardError[i]!, 0) / fits.length
      assert.closeTo(claimed / spread, 1, 0.2)
    })
  })

  it("stays finite for one that always wins, and gives 0 to what was never compared", () => {
    const { standardError, strength } = bradleyTerry(3, [{ a: 0, b: 1, win: 1, weight: 1 }])
    assert.isTrue(strength.every(Number.isFinite) && standardError.every(Number.isFinite))
    assert.isTrue(strength[0]! > strength[2]! && strength[2]! > strength[1]!)
    assert.isAbove(standardError[2]!, standardError[0]!)
  })
})

describe("ranking", () => {
  it("counts ties half, and leaves out what no judge answered", () => {
    const pairs = [judged(0, 1, "A"), judged(0, 2, "tie", 0), judged(1, 2, "failed", 0), judged(1, 3, "invalid", 0)]
    assert.deepStrictEqual(winRates(pairs, 4), [0.75, 0, 0.5, 0.5])
    const { strength } = strengths(pairs, 4)
    assert.isTrue(strength[0]! > strength[2]! && strength[2]! > strength[1]!)
  })

  it("cuts a cycle at its least sure verdict, and only there", () => {
    const pairs = [judged(0, 1, "A", 0.9), judged(1, 2, "A", 0.8), judged(0, 2, "B", 0.1), judged(0, 3, "A", 0.05)]
    assert.isTrue(hasCycle(pairs))
    const kept = withoutCycles(pairs)
    assert.deepStrictEqual(kept, [pairs[0]!, pairs[1]!, pairs[3]!])
    assert.isFalse(hasCycle(kept))
  })

  it("never cuts what the gate said, and leaves an order alone", () => {
    const cycle = [judged(0, 1, "A", 1, "gate"), judged(1, 2, "A", 0.9), judged(0, 2, "B", 0.95)]
    assert.deepStrictEqual(withoutCycles(cycle), [cycle[0]!, cycle[2]!])
    const order = [judged(0, 1, "A"), judged(1, 2, "A"), judged(0, 2, "A"), judged(2, 3, "tie", 0)]
    assert.deepStrictEqual(withoutCycles(order), order)
  })

  it("leaves no cycle in any tournament", () => {
    for (let trial = 0; trial < 200; trial++) {
      const draw = random(3, trial)
      const pairs = Array.from({ length: 6 }, (_, a) => a).flatMap((a) =>
        Array.from({ length: 5 - a }, (_, i) => judged(a, a + 1 + i, draw() < 0.5 ? "A" : "B", draw()))
      )
      assert.isFalse(hasCycle(withoutCycles(pairs)))
    }
  })
})

describe("selection", () => {
  const defaults = { invalidPairWeight: 1, k: 4, labels: "hard", ties: "drop" } as const
  /** 0 over 1 over 2 over 3, all of it said. */
  const order = [0, 1, 2, 3].flatMap((a) => [1, 2, 3].filter((b) => b > a).map((b) => judged(a, b, "A")))
  const names = (pairs: "all" | "best-worst" | "top-bottom", given = order) =>
    selectPreferences({ ...defaults, pairs }, given).map(({ chosen, rejected }) => `${chosen.index}>${rejected.index}`)

  it("takes all, the two ends, or the upper half against the lower", () => {
    assert.deepStrictEqual(names("all"), ["0>1", "0>2", "0>3", "1>2", "1>3", "2>3"])
    assert.deepStrictEqual(names("best-worst"), ["0>3"])
    assert.deepStrictEqual(names("top-bottom"), ["0>2", "0>3", "1>2", "1>3"])
  })

  it("leaves the middle of an odd number out", () => {
    const three = order.filter(({ a, b }) => a.index < 3 && b.index < 3)
    const chosen = selectPreferences({ ...defaults, k: 3, pairs: "top-bottom" }, three)
    assert.deepStrictEqual(chosen.map(({ chosen, rejected }) => [chosen.index, rejected.index]), [[0, 2]])
  })

  it("makes a tie a preference of label 0.5 where ties are trained, and a label of how sure the judge was", () => {
    const given = [judged(0, 1, "tie", 0), judged(0, 2, "B", 0.4), judged(1, 2, "failed", 0), judged(2, 3, "A", 1, "gate")]
    const made = (ties: "drop" | "train", labels: "hard" | "soft") =>
      selectPreferences({ ...defaults, ties, labels, pairs: "all" }, given)
        .map(({ chosen, label, rejected }) => [chosen.index, rejected.index, label])
    assert.deepStrictEqual(made("drop", "hard"), [[2, 0, 1], [2, 3, 1]])
    assert.deepStrictEqual(made("train", "soft"), [[0, 1, 0.5], [2, 0, 0.7], [2, 3, 1]])
    const best = selectPreferences({ ...defaults, ties: "train", pairs: "best-worst" }, [...order, judged(0, 3, "tie", 0)])
    assert.deepStrictEqual(best.map(({ chosen, rejected }) => [chosen.index, rejected.index]), [[0, 3]])
  })

  it("trains no verdict that the others contradict", () => {
    const contradicted = order.map((pair) => (pair.a.index === 0 && pair.b.index === 3 ? judged(0, 3, "B", 0.1) : pair))
    assert.notInclude(names("all", contradicted), "3>0")
    assert.strictEqual(names("all", contradicted).length, 5)
  })
})
