import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { random } from "../../src/engine/random.ts"
import { type Criterion, learnRubric, ridgeLogistic, type VotedPair } from "../../src/evaluation/rubric.ts"

const golden = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../golden/rubric.json"), "utf8")) as {
  readonly cases: ReadonlyArray<{ readonly l2: number; readonly x: ReadonlyArray<ReadonlyArray<number>>; readonly win: ReadonlyArray<number>; readonly beta: ReadonlyArray<number> }>
}

describe("ridgeLogistic", () => {
  for (const { beta, l2, win, x } of golden.cases) {
    it(`equals scikit-learn's at l2 ${l2}`, () => {
      ridgeLogistic(x, win, l2).beta.forEach((b, i) => assert.closeTo(b, beta[i]!, 1e-6))
    })
  }
  it("knows no side", () => {
    const { l2, win, x } = golden.cases[0]!
    const swapped = ridgeLogistic(x.map((row) => row.map((value) => -value)), win.map((w) => 1 - w), l2)
    swapped.beta.forEach((b, i) => assert.closeTo(b, ridgeLogistic(x, win, l2).beta[i]!, 1e-9))
  })
})

/** Voters who go by `truth`, weights of the criteria's values; their unit is not that of the values. */
const voted = (n: number, truth: ReadonlyArray<number>, seed: number, { ties = 0 } = {}): ReadonlyArray<VotedPair> => {
  const draw = random(seed, 1)
  return Array.from({ length: n }, (_, k) => {
    const [a, b] = [truth.map(() => 10 + 20 * draw()), truth.map(() => 10 + 20 * draw())]
    const gap = truth.reduce((sum, weight, c) => sum + weight * (a[c]! - b[c]!) / 20, 0)
    const win = draw() < ties ? 0.5 : draw() < 1 / (1 + Math.exp(-8 * gap)) ? 1 : 0
    const judged = a[0]! > b[0]! ? 1 : 0 // the judge so far goes by the first criterion alone
    return { prompt: `prompt ${k % Math.ceil(n / 3)}`, win, judged, a, b }
  })
}
const criteria: ReadonlyArray<Criterion> = [{ name: "colour", weight: 8 }, { name: "shape", weight: 1 }, { name: "noise", weight: 1 }]

describe("learnRubric", () => {
  it("finds what people go by, and says how far to trust it", () => {
    const { after, before, criteria: [colour, shape, noise], difference } = learnRubric(voted(400, [0.2, 1, 0], 3), criteria)
    assert.isAbove(shape!.after, 0.6)
    assert.isAbove(colour!.after, noise!.after)
    assert.isBelow(noise!.after, 3 * noise!.standardError)
    assert.closeTo(colour!.before, 0.8, 1e-12)
    assert.isAbove(after, before + 0.15)
    assert.isAbove(difference.lower, 0)
  })

  it("turns a criterion that people count the other way round", () => {
    const { criteria: [colour, shape] } = learnRubric(voted(300, [-1, 0.3, 0], 4), criteria)
    assert.isAbove(colour!.range[0], colour!.range[1])
    assert.isBelow(shape!.range[0], shape!.range[1])
    const own = learnRubric(voted(300, [-1, 0.3, 0], 4), criteria.map((criterion) => ({ ...criterion, range: [10, 30] as const })))
    assert.deepStrictEqual(own.criteria.map(({ range }) => range).slice(0, 2), [[30, 10], [10, 30]])
  })

  it("gains nothing from votes by a coin, on votes that were held out", () => {
    const gains = Array.from({ length: 20 }, (_, seed) => {
      const pairs = voted(60, [1, 1, 1], seed).map((pair, n) => ({ ...pair, win: random(seed, n)() < 0.5 ? 1 : 0 }))
      return learnRubric(pairs, criteria).after
    })
    assert.closeTo(gains.reduce((sum, x) => sum + x, 0) / gains.length, 0.5, 0.04)
  })

  it("ties as often as people do", () => {
    const pairs = voted(200, [1, 1, 1], 5, { ties: 0.3 })
    const { criteria: learned, tieMargin, votes } = learnRubric(pairs, criteria)
    assert.isAbove(tieMargin, 0)
    const ties = pairs.filter(({ a, b }) => Math.abs(learned.reduce((sum, { after, range: [none, full] }, c) => {
      const worth = (score: number) => Math.min(1, Math.max(0, (score - none) / (full - none)))
      return sum + after * (worth(a[c]!) - worth(b[c]!))
    }, 0)) <= tieMargin)
    assert.strictEqual(ties.length, pairs.length - votes)
  })

  it("is the same from the same votes, however they lie", () => {
    const pairs = voted(100, [1, 0.5, 0], 6)
    const weights = (given: ReadonlyArray<VotedPair>) => learnRubric(given, criteria).criteria.map(({ after }) => after)
    const turned = pairs.map(({ a, b, judged, prompt, win }) => ({ prompt, a: b, b: a, win: 1 - win, judged: 1 - judged }))
    weights(turned).forEach((weight, c) => assert.closeTo(weight, weights(pairs)[c]!, 1e-9))
  })
})
