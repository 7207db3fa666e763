import { assert, describe, it } from "vitest"
import { JudgedPair, Preference } from "../../src/domain.ts"
import { weighted, worths } from "../../src/lessons/weigh.ts"
import { candidate, verdict } from "../stages/make.ts"

const judged = (a: number, b: number, scores: readonly [number, number]) =>
  new JudgedPair({
    a: candidate({ index: a }),
    b: candidate({ index: b }),
    verdict: verdict({ outcome: scores[0] > scores[1] ? "A" : "B", confidence: 0.5, by: "clip", scores })
  })
const group = (scores: ReadonlyArray<number>, weight = 1) => {
  const pairs = scores.flatMap((x, i) => scores.slice(i + 1).map((y, j) => judged(i, i + 1 + j, [x, y])))
  return {
    pairs,
    preferences: pairs.map(({ a, b, verdict }) => {
      const [chosen, rejected] = verdict.outcome === "A" ? [a, b] : [b, a]
      return new Preference({ prompt: a.prompt, chosen, rejected, label: 1, weight, verdict })
    })
  }
}
const weights = (pairWeighting: "none" | "gap" | "diversity" | "gap-diversity", ...groups: ReadonlyArray<ReturnType<typeof group>>) =>
  weighted({ k: 3, pairWeighting }, groups).map(({ weight }) => weight)
const close = (got: ReadonlyArray<number>, want: ReadonlyArray<number>) => {
  assert.strictEqual(got.length, want.length)
  got.forEach((x, i) => assert.closeTo(x, want[i]!, 1e-12))
}

describe("weights of preferences", () => {
  it("none: as they are", () => close(weights("none", group([0, 1, 3], 0.5)), [0.5, 0.5, 0.5]))

  it("gap: in proportion to the distance within a prompt, whatever the prompt's own scale", () => {
    // gaps 1, 3, 2, mean 2
    close(weights("gap", group([0, 1, 3]), group([0, 10, 30])), [0.5, 1.5, 1, 0.5, 1.5, 1])
  })

  it("diversity: in proportion to the spread of a prompt's drawings", () => {
    // the second group is spread three times as far
    close(weights("diversity", group([0, 1, 3]), group([0, 3, 9])), [0.5, 0.5, 0.5, 1.5, 1.5, 1.5])
  })

  it("both multiply, and the mean factor is 1", () => {
    close(weights("gap-diversity", group([0, 1, 3]), group([0, 3, 9])), [0.25, 0.75, 0.5, 0.75, 2.25, 1.5])
  })

  it("what the gate decided keeps its weight", () => {
    const { pairs, preferences } = group([0, 1, 3])
    const gate = new Preference({ ...preferences[0]!, weight: 0.3, verdict: verdict({ outcome: "A", by: "gate", confidence: 1 }) })
    close(weights("gap", { pairs, preferences: [gate, ...preferences.slice(1)] }), [0.3, 1.2, 0.8])
  })

  it("drawings that are all alike give equal weights, not NaN", () => {
    const same = group([0, 1, 3])
    const flat = { ...same, pairs: same.pairs.map((pair) => new JudgedPair({ ...pair, verdict: verdict({ outcome: "tie", confidence: 0, by: "clip", scores: [1, 1] }) })) }
    for (const kind of ["gap", "diversity", "gap-diversity"] as const) {
      for (const weight of weights(kind, flat)) assert.isTrue(Number.isFinite(weight))
    }
  })

  it("a candidate's worth is its mean score, or its strength where a judge gave none", () => {
    assert.deepStrictEqual(worths(group([0, 1, 3]).pairs, 4), [0, 1, 3, undefined])
    const plain = group([0, 1, 3]).pairs.map((pair) => new JudgedPair({ ...pair, verdict: verdict({ outcome: pair.verdict.outcome, confidence: 0.5, by: "claude" }) }))
    const [a, b, c] = worths(plain, 3)
    assert.isTrue(a! < b! && b! < c!)
  })
})
