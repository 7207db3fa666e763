import { assert, describe, it } from "@effect/vitest"
import type { Kind, RightChange } from "../../src/evaluation/measures.ts"
import { sentenceOf } from "../../src/evaluation/sentence.ts"
import { learning } from "../support/evaluated.ts"

const change = (from: number, to: number, lower: number, upper: number, n = 100): RightChange => ({
  before: { value: from, lower: 0, upper: 1, n },
  after: { value: to, lower: 0, upper: 1, n },
  difference: { value: to - from, lower, upper }
})
const kind = (name: Kind, ...of: Parameters<typeof change>) => ({ kind: name, ...change(...of) })
const untrained = (bestTemperature: number) => ({ before: { ...learning.before, bestTemperature } })
const say = (right: RightChange, kinds: ReadonlyArray<RightChange & { readonly kind: Kind }>, bestTemperature = 1) =>
  sentenceOf({ ...learning, ...untrained(bestTemperature), right, kinds })

describe("the sentence", () => {
  it("names what was learned, largest gain first, and what was not", () => {
    assert.strictEqual(
      say(change(0.35, 0.78, 0.4, 0.46), [
        kind("relation", 0.3, 0.6, 0.1, 0.4),
        kind("count", 0.3, 0.32, -0.03, 0.07),
        kind("rider", 0.12, 0.71, 0.5, 0.7),
        kind("single", 0.9, 0.8, -0.2, -0.01),
        kind("pair", 0.5, 0.9, 0.2, 0.6, 7)
      ]),
      "Learned: drawings right 35 % to 78 %, riders 12 % to 71 %, relations 30 % to 60 %; " +
        "worse than before: single creatures and vehicles 90 % to 80 %; counts (30 % to 32 %) did not measurably improve; " +
        "too few prompts to tell: pairs of a big and a small figure."
    )
  })

  it("claims nothing where the interval holds 0, and says where training hurt", () => {
    assert.strictEqual(
      say(change(0.81, 0.815, -0.02, 0.03), [kind("rider", 0.9, 0.91, -0.02, 0.04)]),
      "Nothing was learned that can be told from chance: drawings right 81 % to 82 %."
    )
    assert.strictEqual(
      say(change(0.81, 0.5, -0.4, -0.2), [kind("rider", 0.9, 0.4, -0.6, -0.4), kind("count", 0.2, 0.2, -0.1, 0.1)]),
      "Training hurt: drawings right 81 % to 50 %, riders 90 % to 40 %; counts (20 % to 20 %) did not measurably improve."
    )
    assert.strictEqual(
      say(change(0.81, 0.8, -0.03, 0.01), [kind("rider", 0.5, 0.7, 0.1, 0.3)]),
      "Learned: riders 50 % to 70 %; on the whole no measurable gain: drawings right 81 % to 80 %."
    )
    assert.match(say(change(0, 1, 1, 1, 7), []), /^Too few held-out prompts to tell whether anything was learned/)
  })

  it("never calls learned what a temperature gives, and tells it apart", () => {
    const said = say(change(0.35, 0.36, -0.02, 0.04), [], 0.3)
    assert.strictEqual(
      said,
      "Nothing was learned that can be told from chance: drawings right 35 % to 36 %. " +
        "Sampling the untrained policy at temperature 0.3 instead of 1 gives 35 % instead of 20 % by itself."
    )
  })

  it("speaks of scores where nothing is right or wrong", () => {
    const score = { before: 21.25, after: 23.5, difference: { value: 2.25, lower: 1, upper: 3 } }
    assert.strictEqual(
      sentenceOf({ ...learning, ...untrained(1), measure: "score", scorer: "a scorer", right: null, kinds: [], score }),
      "Learned: mean score (a scorer) 21.25 to 23.50."
    )
  })

  it("rounds no share to 0 or 100 that is neither", () => {
    assert.include(say(change(0.998, 0.002, -1, -0.9), []), "99.8 % to 0.2 %")
  })
})
