import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { JudgedPair, type Outcome, type Rollout } from "../../src/domain.ts"
import { random } from "../../src/engine/random.ts"
import { backTo, metricOfSign, rateMetric } from "../../src/evaluation/divergence.ts"
import { agreements, makeAlarm, makeAlarms, makeLengthAlarm } from "../../src/evaluation/trust.ts"
import { candidate, inked, verdict } from "../stages/make.ts"

const brightness = { name: "ink", score: (_: unknown, { rgba }: { readonly rgba: Uint8Array }) => Effect.succeed(rgba.filter((x, i) => i % 4 === 0 && x < 128).length) }
const blind = { name: "blind", score: () => Effect.undefined }

const rollout = (outcomes: ReadonlyArray<readonly [number, number, Outcome, string?]>): Rollout => ({
  step: 3,
  policyVersion: 3,
  drawings: [0.1, 0.2, 0.3, 0.4].map((ink, index) => ({ candidate: candidate({ index }), rendering: { _tag: "Rendered", picture: inked(ink) } })),
  pairs: outcomes.map(([a, b, outcome, by = "judge"]) =>
    new JudgedPair({ a: candidate({ index: a }), b: candidate({ index: b }), verdict: verdict({ outcome, by, confidence: 0.5 }) })),
  lessons: [],
  seconds: { sample: 0, render: 0, judge: 0 }
})

it("says when drawings grow or shrink by half, once", () => {
  const run = (at: (step: number) => number) => {
    const alarm = makeLengthAlarm()
    return Array.from({ length: 100 }, (_, step) => alarm(at(step)) ?? []).flat()
  }
  assert.deepStrictEqual(run((step) => 70 + step / 10), [])
  assert.match(run((step) => 70 + step).join(), /^Drawings have grown from 80 to 12\d tokens/)
  assert.match(run((step) => 90 - step / 1.5).join(), /^Drawings have shrunk from/)
})

it("begins anew where a curriculum widens, since other prompts have drawings of another length", () => {
  const run = (curriculum: (step: number) => Record<string, number>) => {
    const alarms = makeAlarms()
    return Array.from({ length: 90 }, (_, step) => alarms({ step, metrics: { "svg/length": step < 30 ? 70 : 30, ...curriculum(step) }, trust: [] })).flat()
  }
  assert.deepStrictEqual(run((step) => ({ "curriculum/stage": step < 30 ? 1 : 2 })), [])
  for (const one of [run(() => ({})), run(() => ({ "curriculum/stage": 1 }))]) assert.match(one.map(({ message }) => message).join(), /^Drawings have shrunk from 70/)
})

it("says once that a run diverges and goes on, whatever prompts a curriculum widens to, and tells of each step back", () => {
  const run = (then: Readonly<Record<string, number>>) => {
    const alarms = makeAlarms()
    return Array.from({ length: 6 }, (_, step) => step).flatMap((step) =>
      alarms({ step, metrics: { "curriculum/stage": 1 + step % 3, [metricOfSign("loss")]: 1, ...then }, trust: [] }).map(({ step }) => step))
  }
  assert.deepStrictEqual(run({}), [0])
  assert.deepStrictEqual(run({ [backTo]: 0, [rateMetric]: 0.25 }), [0, 1, 2, 3, 4, 5])
})

describe("agreement with judges that train nothing", () => {
  it.effect("is Kendall's tau over what the judge decided", () =>
    Effect.gen(function*() {
      const right: ReadonlyArray<readonly [number, number, Outcome]> = [[0, 1, "B"], [1, 2, "B"], [3, 0, "A"]]
      const of = (pairs: Parameters<typeof rollout>[0]) => agreements([brightness, blind], rollout(pairs), 100, 0)
      assert.deepStrictEqual(yield* of(right), [{ scorer: "ink", pairs: 3, tau: 1 }])
      assert.deepStrictEqual(yield* of([...right, [0, 2, "A"]]), [{ scorer: "ink", pairs: 4, tau: 0.5 }])
      assert.deepStrictEqual(yield* of([[0, 1, "tie"], [0, 2, "failed"], [0, 3, "A", "gate"]]), [])
      assert.strictEqual((yield* agreements([brightness], rollout(right), 2, 0))[0]!.pairs, 2)
    }))

  it.effect("leaves out what the scorer calls equally good", () =>
    Effect.gen(function*() {
      const ink = (picture: number) => brightness.score({}, inked(picture))
      const margin = (yield* ink(0.2)) - (yield* ink(0.1))
      const of = (margin: number) => agreements([{ ...brightness, margin }], rollout([[0, 1, "A"], [0, 3, "B"]]), 100, 0)
      assert.deepStrictEqual(yield* of(1.1 * margin), [{ scorer: "ink", pairs: 1, tau: 1 }])
      assert.deepStrictEqual(yield* of(0), [{ scorer: "ink", pairs: 2, tau: 0 }])
      assert.deepStrictEqual(yield* of(4 * margin), [])
    }))

  const run = (tauAt: (step: number) => number, pairs = 24) => {
    const alarm = makeAlarm()
    const draw = random(9)
    return Array.from({ length: 120 }, (_, step) => {
      let sum = 0
      for (let i = 0; i < pairs; i++) sum += draw() < (1 + tauAt(step)) / 2 ? 1 : -1
      return alarm({ scorer: "held-out CLIP", pairs, tau: sum / pairs }) === undefined ? [] : [step]
    }).flat()
  }

  it("raises no alarm while it stays, and one when it falls", () => {
    assert.deepStrictEqual(run(() => 0.4), [])
    const alarms = run((step) => (step < 60 ? 0.6 : 0.1))
    assert.strictEqual(alarms.length, 1)
    assert.isTrue(alarms[0]! >= 60 && alarms[0]! < 85, `at ${alarms[0]}`)
  })

  it("raises another after it had recovered", () => {
    assert.strictEqual(run((step) => (step < 40 || (step >= 65 && step < 90) ? 0.8 : -0.2)).length, 2)
  })
})
