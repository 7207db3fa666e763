import { assert, describe, it } from "vitest"
import { JudgedPair, type Outcome } from "../../src/domain.ts"
import { advantages as advantagesOf, rewardsOf } from "../../src/lessons/advantage.ts"
import { lessonsOf } from "../../src/lessons/teach.ts"
import { defaultPipeline } from "../../src/steps/config.ts"
import { candidate, prompt, verdict } from "../stages/make.ts"

const judged = (a: number, b: number, outcome: Outcome, by = "test") =>
  new JudgedPair({ a: candidate({ index: a }), b: candidate({ index: b }), verdict: verdict({ outcome, by }) })

const advantages = (pairs: ReadonlyArray<JudgedPair>, k: number) => advantagesOf({ k }, [pairs])
const byIndex = (pairs: ReadonlyArray<JudgedPair>, k: number) =>
  Object.fromEntries(advantages(pairs, k).map(({ advantage, candidate: { index } }) => [index, advantage]))

describe("advantages", () => {
  it("are the share of comparisons won, less the prompt's mean", () => {
    // 0 beats 1 and ties 2, 2 beats 1: shares 3/4, 0, 3/4, mean 1/2.
    assert.deepStrictEqual(byIndex([judged(0, 1, "A"), judged(0, 2, "tie"), judged(1, 2, "B")], 3), { 0: 0.25, 1: -0.5, 2: 0.25 })
  })

  it("count the gate's answers, and nothing that is no answer", () => {
    // 3 never rendered, 2 was only asked about in vain: it has no advantage and is not in the baseline.
    const pairs = [judged(0, 1, "A"), judged(0, 2, "failed"), judged(1, 2, "failed"), judged(0, 3, "A", "gate"), judged(2, 3, "invalid")]
    const [first, second, fourth] = [1, 0, 0]
    const baseline = (first + second + fourth) / 3
    const got = byIndex(pairs, 4)
    assert.deepStrictEqual(Object.keys(got), ["0", "1", "3"])
    assert.closeTo(got[0]!, first - baseline, 1e-12)
    assert.closeTo(got[1]!, second - baseline, 1e-12)
    assert.closeTo(got[3]!, fourth - baseline, 1e-12)
  })

  it("have a reward for being short on top, which a drawing that was turned away does not get", () => {
    const long = (index: number, characters: number) => candidate({ index, svg: "x".repeat(characters) })
    const pair = (a: number, b: number, outcome: Outcome, by = "test") =>
      new JudgedPair({ a: long(a, 100 * (a + 1)), b: long(b, 100 * (b + 1)), verdict: verdict({ outcome, by }) })
    // Shares won: 1, 1/2, 0. Characters: 100, 200, 300; the last one never rendered.
    const pairs = [pair(0, 1, "A"), pair(0, 2, "A", "gate"), pair(1, 2, "A", "gate")]
    const [rewards] = rewardsOf({ k: 3, lengthReward: { weight: 0.5, characters: 250 } }, [pairs])
    assert.deepStrictEqual(rewards!.map(({ reward }) => Number(reward.toFixed(6))), [1.3, 0.6, 0])
    const [beyond] = rewardsOf({ k: 3, lengthReward: { weight: 0.5, characters: 50 } }, [pairs])
    assert.deepStrictEqual(beyond!.map(({ reward }) => reward), [1, 0.5, 0])
  })

  it("do not exist if all candidates are equal, or nothing was answered", () => {
    assert.deepStrictEqual(advantages([judged(0, 1, "tie")], 2), [])
    assert.deepStrictEqual(advantages([judged(0, 1, "failed")], 2), [])
    assert.deepStrictEqual(advantages([], 4), [])
  })

  it("of a prompt add up to nothing", () => {
    const outcomes: ReadonlyArray<Outcome> = ["A", "B", "tie", "A", "A", "B"]
    const pairs = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]].map(([a, b], n) => judged(a!, b!, outcomes[n]!))
    assert.closeTo(advantages(pairs, 4).reduce((sum, { advantage }) => sum + advantage, 0), 0, 1e-12)
  })
})

describe("scaled advantages", () => {
  // Rewards 1, 0.5, 0 of one prompt, all equal of another, 1 and 0 of a third.
  const other = (name: string, outcome: Outcome) =>
    [new JudgedPair({ a: candidate({ index: 0, prompt: prompt(name) }), b: candidate({ index: 1, prompt: prompt(name) }), verdict: verdict({ outcome }) })]
  const groups = [[judged(0, 1, "A"), judged(0, 2, "A"), judged(1, 2, "A")], other("a dog", "tie"), other("a fox", "B")]
  const of = (scaleRewards: "group" | "batch" | "none") => advantagesOf({ k: 3, scaleRewards }, groups).map(({ advantage }) => advantage)

  it("are divided by the deviation of the prompt's rewards, of the step's, or by nothing", () => {
    const close = (got: ReadonlyArray<number>, expected: ReadonlyArray<number>) => {
      assert.lengthOf(got, expected.length)
      got.forEach((x, n) => assert.closeTo(x, expected[n]!, 1e-12))
    }
    const plain = [0.5, -0.5, -0.5, 0.5]
    close(of("none"), plain)
    const [three, two] = [0.5 + 1e-4, Math.SQRT1_2 + 1e-4] // with Bessel's correction
    close(of("group"), [0.5 / three, -0.5 / three, -0.5 / two, 0.5 / two])
    const rewards = [1, 0.5, 0, 0.5, 0.5, 0, 1]
    const mean = 3.5 / 7
    const all = Math.sqrt(rewards.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 6) + 1e-4
    close(of("batch"), plain.map((x) => x / all))
  })

  it("leave out truncated drawings, which still count in the baseline, if asked to", () => {
    const [a, b, c] = [candidate({ index: 0, finish: "length" }), candidate({ index: 1 }), candidate({ index: 2 })]
    const pairs = [[a, b, "A"], [a, c, "A"], [b, c, "tie"]].map(([x, y, outcome]) =>
      new JudgedPair({ a: x as typeof a, b: y as typeof a, verdict: verdict({ outcome: outcome as Outcome }) }))
    const of = (maskTruncated: boolean) => advantagesOf({ k: 3, maskTruncated }, [pairs]).map(({ advantage, candidate: { index } }) => [index, advantage])
    assert.deepStrictEqual(of(false), [[0, 0.5], [1, -0.25], [2, -0.25]])
    assert.deepStrictEqual(of(true), [[1, -0.25], [2, -0.25]])
  })
})

describe("rewards that are the judge's own scores", () => {
  const scored = (a: number, b: number, scores: readonly [number, number] | undefined, outcome: Outcome, by = "test", text = "a cat") =>
    new JudgedPair({
      a: candidate({ index: a, prompt: prompt(text) }),
      b: candidate({ index: b, prompt: prompt(text) }),
      verdict: verdict({ outcome, by, ...(scores === undefined ? {} : { scores }) })
    })
  const of = (...groups: ReadonlyArray<ReadonlyArray<JudgedPair>>) =>
    rewardsOf({ k: 4, reward: "score" }, groups).map((group) => Object.fromEntries(group.map(({ candidate: { index }, reward }) => [index, reward])))

  it("are told in its unit, whatever the verdict says, and a mean where they differ", () => {
    const pairs = [scored(0, 1, [24.5, 20], "A"), scored(0, 2, [25.5, 25], "tie"), scored(1, 2, [20, 25], "B")]
    assert.deepStrictEqual(of(pairs), [{ 0: 25, 1: 20, 2: 25 }])
    const made = advantagesOf({ k: 3, reward: "score" }, [pairs])
    const baseline = 70 / 3
    made.forEach(({ advantage }, n) => assert.closeTo(advantage, [25, 20, 25][n]! - baseline, 1e-12))
  })

  it("are the step's lowest for a drawing that did not render, and none for one without an answer", () => {
    const first = [scored(0, 1, [4, 7], "B"), scored(0, 2, undefined, "A", "gate"), scored(2, 3, undefined, "invalid", "gate"), scored(0, 3, undefined, "A", "gate")]
    const second = [scored(0, 1, [2, 9], "B", "test", "a dog"), scored(0, 2, undefined, "failed", "test", "a dog")]
    assert.deepStrictEqual(of(first, second), [{ 0: 4, 1: 7, 2: 2, 3: 2 }, { 0: 2, 1: 9 }])
  })

  it("do not exist where nothing was scored", () => {
    assert.deepStrictEqual(of([scored(0, 1, undefined, "A"), scored(0, 2, undefined, "A", "gate")]), [{}])
    assert.deepStrictEqual(advantagesOf({ k: 3, reward: "score" }, [[scored(0, 1, undefined, "A")]]), [])
  })
})

describe("lessons of a step", () => {
  const other = (index: number) => candidate({ index, prompt: prompt("a dog") })
  const groups = [
    [judged(0, 1, "A")],
    [new JudgedPair({ a: other(0), b: other(1), verdict: verdict({ outcome: "B" }) })]
  ]

  it("are what the run's objective learns from", () => {
    const options = { ...defaultPipeline, k: 2 }
    const tags = (lessons: "preferences" | "advantages") => lessonsOf({ ...options, lessons }, groups).map(({ _tag, prompt }) => [_tag, prompt.text])
    assert.deepStrictEqual(tags("preferences"), [["Preference", "a cat"], ["Preference", "a dog"]])
    assert.deepStrictEqual(tags("advantages"), [["Advantage", "a cat"], ["Advantage", "a cat"], ["Advantage", "a dog"], ["Advantage", "a dog"]])
  })

  it("never come from a failure, whatever is learned", () => {
    const failures = (["failed", "invalid"] as const).map((outcome) => [judged(0, 1, outcome)])
    for (const lessons of ["preferences", "advantages"] as const) {
      assert.deepStrictEqual(lessonsOf({ ...defaultPipeline, lessons, ties: "train" }, failures), [])
    }
  })
})
