/** What holds of every row of the table. */
import { assert, describe, it } from "vitest"
import type { Example, ObjectiveSettings, ReadSetting } from "../../src/objectives/objective.ts"
import { type ObjectiveName, objectiveOf, objectives } from "../../src/objectives/objectives.ts"
import { lossAndSlope, steppedOf } from "./compute.ts"

const settings = {
  beta: 0.3, labelSmoothing: 0.1, nu: 2.5, rpoAlpha: 0.5, rejectedFloor: 0.05, ldAlpha: 0.8, useWeighting: false, fDivergenceType: "alpha_divergence", fAlphaDivergenceCoef: 0.7, discopopTau: 0.5,
  epsilon: 0.2, epsilonHigh: 0.3, delta: 1.5, importanceSamplingLevel: "token", importanceSamplingMode: "token_truncate", importanceSamplingClipMax: 1.3,
  sapoTemperaturePos: 1, sapoTemperatureNeg: 2
} as const satisfies Required<Pick<ObjectiveSettings, ReadSetting>>
/** Each of them otherwise. */
const changed: typeof settings extends Readonly<Record<infer Name extends string, unknown>> ? Readonly<Record<Name, string | number | boolean>> : never = {
  beta: 0.4, labelSmoothing: 0.2, nu: 4, rpoAlpha: 1, rejectedFloor: 0.1, ldAlpha: 0.3, useWeighting: true, fDivergenceType: "js_divergence", fAlphaDivergenceCoef: 0.3, discopopTau: 0.8,
  epsilon: 0.3, epsilonHigh: 0.5, delta: 1.8, importanceSamplingLevel: "sequence", importanceSamplingMode: "sequence_mask", importanceSamplingClipMax: 1.6,
  sapoTemperaturePos: 1.5, sapoTemperatureNeg: 3
}
/** Three sequences of 2, 3 and 1 completion tokens. */
const segments = [0, 0, 1, 1, 1, 2]
const tokens = [-0.5, -1.25, -0.75, -2, -0.1, -3]
const reference = [-2, -2.5, -2.9]
const bySequence = (all: ReadonlyArray<number>) => [0, 1, 2].map((n) => all.filter((_, at) => segments[at] === n))
/** Before the batch's first update: ratios 1.11, 0.74; 1.82, 0.67, 0.95; 1.43. None is at a corner of a clip. */
const old = bySequence([-0.6, -0.95, -1.35, -1.6, -0.05, -3.36])
/** As they were drawn: 1.49, 1.05; 1.28, 1.49, 0.9; 1.11 times as likely before the update. */
const drawn = bySequence([-1, -1, -1.6, -2, 0.05, -3.46])
const examplesOf = (name: ObjectiveName): ReadonlyArray<Example> =>
  objectiveOf({ lossType: name }).learnsFrom === "preferences"
    ? [{ members: [0, 1], signal: 1, weight: 1 }, { members: [2, 0], signal: 0.75, weight: 0.5 }]
    : [[0, 0.75, 1], [1, -0.5, 0.5], [2, 1, 1]].map(([n, signal, weight]) => ({ members: [n!], signal: signal!, weight: weight!, drawn: drawn[n!]! }))

/** Loss over some of a batch's examples, and its gradient by token. */
const compute = (name: ObjectiveName, examples: ReadonlyArray<Example>, all: ReadonlyArray<Example>, logps = tokens, chosen: ObjectiveSettings = settings) =>
  lossAndSlope({ maxCompletionLength: 4, ...chosen, lossType: name }, { old, reference, tokens: bySequence(logps) }, all, examples)

describe.each(Object.keys(objectives) as Array<ObjectiveName>)("objective %s", (name) => {
  const examples = examplesOf(name)

  it("has the gradient of its loss (finite differences)", async () => {
    const { slope } = await compute(name, examples, examples)
    for (const [n] of tokens.entries()) {
      const at = async (step: number) => (await compute(name, examples, examples, tokens.map((x, i) => (i === n ? x + step : x)))).loss
      const width = 0.01
      assert.closeTo(slope[n]!, (await at(width) - await at(-width)) / (2 * width), 2e-3)
    }
  })

  it("reads the settings that it says, and no others", async () => {
    // Labels of which each setting makes something else; 0.5 is a tie.
    const examples = objectiveOf({ lossType: name }).learnsFrom === "preferences"
      ? [1, 0.75, 0.5].map((signal): Example => ({ members: [0, 1], signal, weight: 1 }))
      : examplesOf(name)
    const read: Array<string> = []
    for (const setting of Object.keys(settings) as Array<ReadSetting>) {
      // epsilon also stands in for epsilon_high; a rejected side at its floor is there whatever its tail counts.
      const chosen = { ...settings, ...(setting === "epsilon" ? { epsilonHigh: 0 } : {}), ...(setting === "ldAlpha" ? { rejectedFloor: 0 } : {}) }
      const given = await compute(name, examples, examples, tokens, chosen)
      const { loss, slope } = await compute(name, examples, examples, tokens, { ...chosen, [setting]: changed[setting] })
      if (loss !== given.loss || slope.some((x, t) => x !== given.slope[t])) read.push(setting)
    }
    assert.sameMembers([...objectiveOf({ lossType: name }).reads], read)
  })

  it("says where it comes from, and its metrics are finite", () => {
    const objective = objectiveOf({ lossType: name })
    assert.match(objective.source, /arXiv|doi|TRL/)
    const metrics = objective.metrics(settings, steppedOf(examples, { old, reference, tokens: bySequence(tokens) }))
    for (const value of Object.values(metrics)) assert.isTrue(Number.isFinite(value))
  })
})

describe.each((Object.keys(objectives) as Array<ObjectiveName>).filter((name) => name !== "cross_entropy"))("%s", (name) => {
  it("of a batch is the sum of its runs", async () => {
    const examples = examplesOf(name)
    const whole = await compute(name, examples, examples)
    const runs = await Promise.all(examples.map((example) => compute(name, [example], examples)))
    assert.closeTo(runs.reduce((sum, { loss }) => sum + loss, 0), whole.loss, 1e-5)
    whole.slope.forEach((x, t) => assert.closeTo(runs.reduce((sum, { slope }) => sum + slope[t]!, 0), x, 1e-5))
  })
})

it("reinforce weighs each completion's log-probability by its advantage", async () => {
  const { loss, slope } = await compute("reinforce", examplesOf("reinforce"), examplesOf("reinforce"))
  // Sums -1.75, -2.85, -3; weights 1, 0.5, 1.
  assert.closeTo(loss, -(0.75 * -1.75 + 0.5 * -0.5 * -2.85 + 1 * -3) / 2.5, 1e-6)
  const expected = [0.75, 0.75, -0.25, -0.25, -0.25, 1].map((x) => -x / 2.5)
  slope.forEach((x, t) => assert.closeTo(x, expected[t]!, 1e-6))
})
