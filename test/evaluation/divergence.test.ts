/** The watch on real runs: traces.json has the measured metrics of healthy runs and of runs at too high a learning rate. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import type { StepReport } from "../../src/domain.ts"
import { backTo, divergence, DivergenceWatch, metricOfSign, rateMetric, type Sign, stoppedMetric } from "../../src/evaluation/divergence.ts"
import { betterThanStart, worseThanStart } from "../../src/evaluation/worse-than-start.ts"
import type { Learning } from "../../src/evaluation/measures.ts"
import { resultLines } from "../../src/run/result-lines.ts"
import type { Summary } from "../../src/run/summary.ts"
import { evaluated, learning } from "../support/evaluated.ts"

interface Trace {
  readonly drawings: number
  readonly losses: boolean
  /** rpo_alpha. */
  readonly likelihood?: number
  /** The first sign, or null. */
  readonly diverges: Sign | null
  /** The step by which it must show. Default 7. */
  readonly by?: number
  /** policyVersion, loss, objective/kl, objective/entropy, svg/valid, nll_loss; null where there is none. */
  readonly rows: ReadonlyArray<readonly [number, ...ReadonlyArray<number | null>]>
}
const traces: Readonly<Record<string, Trace>> = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "traces.json"), "utf8"))
const names = ["loss", "objective/kl", "objective/entropy", "svg/valid", "nll_loss"]
const reportsOf = ({ rows }: Pick<Trace, "rows">): ReadonlyArray<StepReport> =>
  rows.map(([policyVersion, ...values], step) => ({
    step,
    policyVersion,
    metrics: Object.fromEntries(names.flatMap((name, n) => typeof values[n] === "number" ? [[name, values[n]] as const] : []))
  }))
/** The first step that shows a sign. */
const firstSign = (trace: Trace) => {
  const watch = new DivergenceWatch(trace)
  for (const report of reportsOf(trace)) {
    const sign = watch.see(report)
    if (sign !== undefined) return { sign, step: report.step }
  }
  return undefined
}
const traced = Object.entries(traces)

describe("the watch", () => {
  it.each(traced.filter(([, { diverges }]) => diverges === null))("is silent all along a healthy run: %s", (_, trace) => {
    assert.isUndefined(firstSign(trace))
    const watch = new DivergenceWatch(trace)
    for (const report of reportsOf(trace)) {
      watch.see(report)
      assert.isFalse(watch.uneasy, `step ${report.step}`)
    }
  })

  it.each(traced.filter(([, { diverges }]) => diverges !== null))("notices before the drawings are all gone: %s", (_, trace) => {
    const found = firstSign(trace)!
    assert.strictEqual(found.sign, trace.diverges)
    assert.isAtMost(found.step, trace.by ?? 7)
  })

  /** A healthy start, then these values of one metric. */
  const then = (name: string, values: ReadonlyArray<number>, of: Partial<Trace> = {}) => {
    const start = { loss: 0.69, "objective/kl": 0, "objective/entropy": 30, "svg/valid": 0.9 }
    const watch = new DivergenceWatch({ drawings: 128, losses: true, ...of })
    return [0.9, 0.9, 0.9, ...values].map((value, step) =>
      watch.see({ step, policyVersion: step, metrics: { ...start, ...(step < 3 ? {} : { [name]: value }) } })).slice(3)
  }

  it("takes two high losses in a row, but not one, and none where losses cannot be compared", () => {
    assert.deepStrictEqual(then("loss", [4.2, 0.7, 4.2, 4.2]), [undefined, undefined, undefined, "loss"])
    assert.deepStrictEqual(then("loss", [4.2, 4.2, 4.2], { losses: false }), [undefined, undefined, undefined])
  })

  it("takes a median of five losses over 1.5 times the lowest first one", () => {
    assert.deepStrictEqual(then("loss", [1, 1.1, 1, 1.1, 0.9]), Array(5).fill(undefined))
    assert.strictEqual(then("loss", [0.7, 1.1, 1.2, 9, 1.1])[4], "loss")
    assert.deepStrictEqual(then("loss", [9, 0.7, 9, 0.7, 0.7]), Array(5).fill(undefined))
  })

  it("takes off what a likelihood adds to losses of pairs, and is then less strict", () => {
    const see = (loss: number, nll: number, of: Partial<Trace>) => {
      const watch = new DivergenceWatch({ drawings: 128, losses: true, ...of })
      return Array.from({ length: 12 }, (_, step) => {
        const [pair, likelihood] = step < 3 ? [0.69, 0.3] : [loss, nll]
        return watch.see({ step, policyVersion: step, metrics: { loss: pair + 4 * likelihood, nll_loss: likelihood } })
      }).find((sign) => sign !== undefined)
    }
    assert.isUndefined(see(0.69, 2, { likelihood: 4 }))
    assert.isUndefined(see(1.7, 0.1, { likelihood: 4 }))
    assert.strictEqual(see(1.75, 0.1, { likelihood: 4 }), "loss")
    assert.isUndefined(see(9, 0.1, {}))
  })

  it("takes no loss that is a likelihood", () => {
    const see = (more: Readonly<Record<string, number>>) => {
      const watch = new DivergenceWatch({ drawings: 128, losses: true })
      // As measured in a healthy run that trained the likelihood of the best of eight.
      return [0.37, 0.24, 0.19, 0.32, 0.19, 0.27, 0.21, 0.32, 0.4, 0.17, 0.3].map((loss, step) =>
        watch.see({ step, policyVersion: step, metrics: { loss, ...more } })).find((sign) => sign !== undefined)
    }
    assert.strictEqual(see({}), "loss")
    assert.isUndefined(see({ nll_loss: 0.2 }))
  })

  it("takes two steps of drawings three times as random", () => {
    assert.deepStrictEqual(then("objective/entropy", [200, 30, 100, 91]), [undefined, undefined, undefined, "entropy"])
  })

  it("takes one step in which the policy left its own drawings", () => {
    assert.deepStrictEqual(then("objective/kl", [-7, -8]), [undefined, "moved"])
  })

  it("takes three steps in which less than half as many drawings render", () => {
    assert.deepStrictEqual(then("svg/valid", [0.4, 0.4, 0.9, 0.3, 0.3]), [undefined, undefined, undefined, undefined, undefined])
    assert.strictEqual(then("svg/valid", [0.4, 0.4, 0.4])[2], "validity")
  })

  it("waits for more steps where a step has few drawings, and for more than chance", () => {
    // Eight steps of six drawings, the first three of them good.
    assert.deepStrictEqual(then("svg/valid", Array(6).fill(0.1), { drawings: 6 }), [...Array(4).fill(undefined), "validity", "validity"])
    // 9 of 48 instead of 19 of 48: half as many, but within four standard errors.
    const watch = new DivergenceWatch({ drawings: 16, losses: true })
    for (let step = 0; step < 12; step++) {
      assert.isUndefined(watch.see({ step, policyVersion: step, metrics: { "svg/valid": step < 3 ? 0.4 : 0.19 } }))
    }
  })

  it("takes no drawings of a version that the run went back from, and starts its windows anew", () => {
    const watch = new DivergenceWatch({ drawings: 128, losses: true })
    const see = (step: number, policyVersion: number, kl: number) =>
      watch.see({ step, policyVersion, metrics: { "objective/kl": kl, "objective/entropy": 30, "svg/valid": 0.9 } })
    for (let step = 0; step < 12; step++) assert.isUndefined(see(step, step, 0))
    assert.strictEqual(see(12, 11, -50), "moved")
    watch.steppedBack({ step: 12 }, 5)
    assert.deepStrictEqual([5, 6, 12, 13].map(watch.discarded), [false, true, true, false])
    assert.isUndefined(see(13, 12, -50))
    assert.isUndefined(see(14, 13, 0))
    assert.strictEqual(see(15, 14, -50), "moved")
  })

  it("compares drawings with those of the first prompts that are as wide, where a curriculum widens; losses with the run's first", () => {
    const see = (stages: boolean, then: Readonly<Record<string, number>>) => {
      const watch = new DivergenceWatch({ drawings: 128, losses: true })
      return Array.from({ length: 14 }, (_, step) => {
        const healthy = { loss: 0.69, "objective/entropy": 30, "svg/valid": 0.9 }
        const metrics = { ...(stages ? { "curriculum/stage": step < 6 ? 1 : 2 } : {}), ...healthy, ...(step < 6 ? {} : then) }
        return watch.see({ step, policyVersion: step, metrics })
      }).find((sign) => sign !== undefined)
    }
    for (const [sign, then] of [["entropy", { "objective/entropy": 100 }], ["validity", { "svg/valid": 0.3 }]] as const) {
      assert.strictEqual(see(false, then), sign)
      assert.isUndefined(see(true, then), sign)
    }
    assert.strictEqual(see(true, { loss: 1.2 }), "loss")
  })

  it("takes a loss that is not finite, wherever it comes from", () => {
    const watch = new DivergenceWatch({ drawings: 128, losses: false })
    assert.strictEqual(watch.see({ step: 0, policyVersion: 0, metrics: { [metricOfSign("not_finite")]: 1 } }), "not_finite")
  })
})

describe("the sentence", () => {
  const said = (metrics: Readonly<Record<string, number>>) => divergence({ [metricOfSign("moved")]: 1, ...metrics })
  it("says what happened, where the run went back to, and how it goes on", () => {
    assert.isUndefined(divergence({ loss: 0.7 }))
    assert.match(said({ [backTo]: 15, [rateMetric]: 1 / 16 })!, /^The policy moved so far .*: the run went back to its state after 15 steps and goes on at 1\/16 of its learning rate\.$/)
    assert.match(said({ [backTo]: 0, [rateMetric]: 0.25 })!, /went back to its start and goes on at 1\/4/)
  })
  it("says which adapter is left where the run stopped, and what to do", () => {
    assert.match(said({ [backTo]: 15, [rateMetric]: 1, [stoppedMetric]: 1 })!, /so training stopped\. The adapter is that after 15 steps, the last good one\. .*lower --learning-rate\.$/)
    assert.match(said({ [backTo]: 0, [rateMetric]: 1, [stoppedMetric]: 1 })!, /The adapter is what the run started from: nothing was learned\./)
  })
  it("tells of a run that went on", () => assert.match(said({})!, /the run may be diverging\. Lower --learning-rate\.$/))
})

describe("a result worse than its start", () => {
  const interval = (value: number) => ({ value, lower: value - 0.05, upper: value + 0.05 })
  const right = (difference: number, n = 200) => ({
    before: { ...interval(0.5), n },
    after: { ...interval(0.5 + difference), n },
    difference: interval(difference)
  })
  const score = (difference: number) => ({ before: 0.5, after: 0.5 + difference, difference: interval(difference) })
  const result = (of: Partial<Learning>) => ({ learning: { ...learning, ...of } })
  it("is said to be that where the whole interval of the difference is below zero", () => {
    assert.match(worseThanStart(result({ right: right(-0.2), score: score(0.2) }))!, /^The trained policy is worse than its start: drawings right 50 % to 30 %, each at its best temperature\. Do not use its adapter/)
    assert.isUndefined(worseThanStart(result({ right: right(-0.04), score: score(-0.2) })))
    assert.isUndefined(worseThanStart(result({ right: right(0.2), score: score(-0.2) })))
  })
  it("is told by the mean score where no prompt has a right and a wrong", () => {
    const scored = { measure: "score", scorer: "another", right: null } as const
    assert.match(worseThanStart(result({ ...scored, score: score(-0.2) }))!, /: mean score \(another\) 0\.50 to 0\.30, each/)
    assert.isUndefined(worseThanStart(result({ ...scored, score: score(-0.04) })))
    assert.isTrue(betterThanStart(result({ ...scored, score: score(0.2) })))
  })
  it("is neither better nor worse where nothing was compared, or on too few prompts", () => {
    for (const none of [{ learning: null }, result({ right: right(-0.2, 4) }), result({ right: right(0.2, 4) })]) {
      assert.isUndefined(worseThanStart(none))
      assert.isFalse(betterThanStart(none))
    }
    assert.isTrue(betterThanStart(result({ right: right(0.2) })))
    assert.isFalse(betterThanStart(result({ right: right(0.02) })))
  })
  it("is said so among the result's lines, with why training stopped", () => {
    const summary: Summary = {
      objective: "sigmoid", steps: 3, pairs: 3, advantages: 0, seconds: 1, costUsd: 0, faults: {}, alarms: [], ...evaluated, stopped: "It stopped."
    }
    assert.deepStrictEqual(resultLines(summary).slice(-1), ["It stopped."])
    const worse = { ...summary, ...result({ right: right(-0.2) }) }
    assert.deepStrictEqual(resultLines(worse).slice(-2), ["It stopped.", worseThanStart(worse)!])
    assert.deepStrictEqual(resultLines({ ...summary, learning: null }).slice(1), ["It stopped."])
  })
})
