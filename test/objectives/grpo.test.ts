/** GRPO and its kin beside TRL 1.16's own code (test/golden/make_grpo.py), and beside a group worked out by hand. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { centred } from "../../src/lessons/advantage.ts"
import type { Example, ImportanceSamplingMode } from "../../src/objectives/objective.ts"
import { type ChosenObjective, objectiveOf } from "../../src/objectives/objectives.ts"
import { lossAndSlope, steppedOf } from "./compute.ts"

type Rows = ReadonlyArray<ReadonlyArray<number>>
interface Case {
  readonly loss_type: "grpo" | "dapo" | "bnpo" | "dr_grpo" | "cispo" | "sapo"
  readonly importance_sampling_level: "token" | "sequence"
  readonly beta: number
  readonly delta: number | null
  readonly epsilon_high: number | null
  readonly importance_sampling_mode: ImportanceSamplingMode
  readonly importance_sampling_clip_max: number
  readonly fresh: boolean
  readonly loss: number
  readonly grads: Rows
  readonly metrics: Readonly<Record<string, number>>
}
const golden: {
  readonly now: Rows
  readonly old: Rows
  readonly drawn: Rows
  readonly reference: Rows
  readonly advantages: ReadonlyArray<number>
  readonly longest: number
  readonly losses: ReadonlyArray<Case>
  readonly groups: ReadonlyArray<{ readonly rewards: ReadonlyArray<ReadonlyArray<number | null>>; readonly scale_rewards: "group" | "batch" | "none"; readonly advantages: Rows }>
} = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../golden/grpo.json"), "utf8"))

const examples = golden.advantages.map((signal, n): Example => ({ members: [n], signal, weight: 1, drawn: golden.drawn[n]! }))
const objectiveIn = (c: Case): ChosenObjective => ({
  lossType: c.loss_type,
  beta: c.beta,
  labelSmoothing: 0,
  epsilon: 0.2,
  epsilonHigh: c.epsilon_high ?? 0,
  delta: c.delta ?? 0,
  importanceSamplingLevel: c.importance_sampling_level,
  importanceSamplingMode: c.importance_sampling_mode,
  importanceSamplingClipMax: c.importance_sampling_clip_max,
  sapoTemperaturePos: 1,
  sapoTemperatureNeg: 1.05,
  maxCompletionLength: golden.longest
})

describe.each(golden.losses)("$loss_type, $importance_sampling_level, beta $beta, $importance_sampling_mode, fresh $fresh", (c) => {
  const old = c.fresh ? undefined : golden.old
  it("has TRL's loss, gradient and metrics, to 1e-6", async () => {
    const { loss, slope } = await lossAndSlope(objectiveIn(c), { old, reference: golden.reference, tokens: golden.now }, examples)
    assert.approximately(loss, c.loss, 1e-6 * Math.max(1, Math.abs(c.loss)))
    const expected = c.grads.flat()
    assert.lengthOf(slope, expected.length)
    slope.forEach((x, t) => assert.approximately(x, expected[t]!, 1e-6))
    const metrics = objectiveOf(objectiveIn(c)).metrics(objectiveIn(c), {
      examples,
      policy: Float64Array.from(golden.now, (row) => row.reduce((a, b) => a + b, 0)),
      reference: new Float64Array(3),
      lengths: golden.now.map(({ length }) => length),
      tokens: golden.now,
      old: old ?? golden.now,
      referenceTokens: c.beta > 0 ? golden.reference : undefined
    })
    for (const [name, value] of Object.entries(c.metrics)) assert.approximately(metrics[name]!, value, 1e-6, name)
  })
})

it("golden cases clip above and below, and mask and truncate", () => {
  const values = (name: string) => new Set(golden.losses.map(({ metrics }) => metrics[name]))
  for (const name of ["clip_ratio/low_mean", "clip_ratio/high_mean", "cispo_clip_ratio"]) assert.isAbove(values(name).size, 1, name)
  assert.isAbove(new Set(golden.losses.map(({ importance_sampling_mode }) => importance_sampling_mode)).size, 4)
})

it.each(golden.groups)("advantages are TRL's: scale_rewards $scale_rewards", ({ advantages, rewards, scale_rewards }) => {
  const known = rewards.map((group) => group.filter((reward) => reward !== null))
  const got = centred(known, scale_rewards)
  rewards.forEach((group, n) => {
    const own = [...got[n]!]
    // TRL gives a candidate without a reward 0; here it makes no advantage.
    group.forEach((reward, i) => assert.approximately(reward === null ? 0 : own.shift()!, advantages[n]![i]!, 1e-6))
  })
})

it("one group by hand: two of three won, the second update of a step", async () => {
  // Rewards 1, 1, 0: mean 2/3, deviation √(1/3) with Bessel's correction.
  const [rewards] = centred([[1, 1, 0]], "none")
  assert.deepEqual(rewards!.map((x) => Math.round(3 * x)), [1, 1, -2])
  const [up, down] = [1 / 3, -2 / 3]
  const ln = Math.log
  // Ratios: 1.5 (clipped to 1.2, no gradient); 1.1; 0.5 and 1 of the third's two tokens (the first clipped to 0.8).
  const old = [[-1], [-2], [-1, -3]]
  const tokens = [[-1 + ln(1.5)], [-2 + ln(1.1)], [-1 + ln(0.5), -3]]
  const group = [up, up, down].map((signal, n): Example => ({ members: [n], signal, weight: 1, drawn: old[n]! }))
  const of = (lossType: "grpo" | "dapo") => lossAndSlope({ lossType, beta: 0, labelSmoothing: 0 }, { old, reference: [0, 0, 0], tokens }, group)
  const grpo = await of("grpo")
  // -(1/3)[1.2/3 + 1.1/3 + (min(-2/3 · 0.5, -2/3 · 0.8) - 2/3)/2]
  assert.approximately(grpo.loss, -(1.2 * up + 1.1 * up + (0.8 * down + down) / 2) / 3, 1e-6)
  const slopes = [0, -1.1 * up / 3, 0, -down / 2 / 3]
  grpo.slope.forEach((x, t) => assert.approximately(x, slopes[t]!, 1e-6))
  const dapo = await of("dapo")
  assert.approximately(dapo.loss, -(1.2 * up + 1.1 * up + 0.8 * down + down) / 4, 1e-6)
})

it("weighs stale candidates by how much likelier the policy has become to draw them, at most clip_max", async () => {
  const group: ReadonlyArray<Example> = [{ members: [0], signal: 1, weight: 1, drawn: [-2] }, { members: [1], signal: 1, weight: 1, drawn: [-1.5] }]
  const of = async (mode: ImportanceSamplingMode) =>
    (await lossAndSlope({ lossType: "dapo", beta: 0, labelSmoothing: 0, importanceSamplingMode: mode, importanceSamplingClipMax: 2 }, { reference: [0, 0], tokens: [[-1], [-2]] }, group)).slope.map((x) => -2 * x)
  const close = (got: ReadonlyArray<number>, expected: ReadonlyArray<number>) => got.forEach((x, n) => assert.approximately(x, expected[n]!, 1e-6))
  close(await of("none"), [1, 1])
  close(await of("token_truncate"), [2, Math.exp(-0.5)])
  close(await of("sequence_mask"), [0, Math.exp(-0.5)])
})

it("has metrics of a step of very many tokens", () => {
  const long = Array.from({ length: 150_000 }, () => -1)
  const group = [0, 1].map((n): Example => ({ members: [n], signal: n === 0 ? 1 : -1, weight: 1, drawn: long }))
  const chosen = { lossType: "dapo", beta: 0, labelSmoothing: 0 } as const
  const metrics = objectiveOf(chosen).metrics(chosen, steppedOf(group, { reference: [0, 0], tokens: [long, long] }))
  assert.strictEqual(metrics["sampling/importance_sampling_ratio/max"], 1)
})
