/** What holds of every row of the table. */
import { assert, describe, it } from "vitest"
import type { Example, ObjectiveSettings } from "../../src/objectives/objective.ts"
import { type ObjectiveName, objectiveOf, objectives } from "../../src/objectives/objectives.ts"
import { lossAndSlope } from "./compute.ts"

const settings: ObjectiveSettings = { beta: 0.3, labelSmoothing: 0.1, nu: 2.5, rpoAlpha: 0.5, rejectedFloor: 0.05 }
/** Three sequences of 2, 3 and 1 completion tokens. */
const segments = [0, 0, 1, 1, 1, 2]
const tokens = [-0.5, -1.25, -0.75, -2, -0.1, -3]
const reference = [-2, -2.5, -2.9]
const examplesOf = (name: ObjectiveName): ReadonlyArray<Example> =>
  objectiveOf({ lossType: name }).learnsFrom === "preferences"
    ? [{ members: [0, 1], signal: 1, weight: 1 }, { members: [2, 0], signal: 0.75, weight: 0.5 }]
    : [{ members: [0], signal: 0.75, weight: 1 }, { members: [1], signal: -0.5, weight: 0.5 }, { members: [2], signal: 1, weight: 1 }]

/** Loss over some of a batch's examples, and its gradient by token. */
const compute = (name: ObjectiveName, examples: ReadonlyArray<Example>, all: ReadonlyArray<Example>, logps = tokens, chosen = settings) =>
  lossAndSlope({ ...chosen, lossType: name }, { reference, tokens: [0, 1, 2].map((n) => logps.filter((_, at) => segments[at] === n)) }, all, examples)

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
    const given = await compute(name, examples, examples)
    const changed: ObjectiveSettings = { beta: 0.4, labelSmoothing: 0.2, nu: 4, rpoAlpha: 1, rejectedFloor: 0.1 }
    const read: Array<string> = []
    for (const setting of Object.keys(settings) as Array<keyof ObjectiveSettings>) {
      const { loss, slope } = await compute(name, examples, examples, tokens, { ...settings, [setting]: changed[setting] })
      if (loss !== given.loss || slope.some((x, t) => x !== given.slope[t])) read.push(setting)
    }
    assert.sameMembers([...objectiveOf({ lossType: name }).reads], read)
  })

  it("says where it comes from, and its metrics are finite", () => {
    const objective = objectiveOf({ lossType: name })
    assert.match(objective.source, /arXiv|doi|TRL/)
    const sums = Float64Array.from([-1.75, -2.85, -3])
    const metrics = objective.metrics(settings, { examples, policy: sums, reference: Float64Array.from(reference), lengths: [2, 3, 1] })
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
