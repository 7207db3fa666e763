/** Every loss of pairs and every f-divergence beside TRL 1.16's own code (test/golden/make_pairs.py). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import type { Example, FDivergence } from "../../src/objectives/objective.ts"
import { type ChosenObjective, objectiveOf, type ObjectiveName, objectives } from "../../src/objectives/objectives.ts"
import { lossAndSlope, steppedOf } from "./compute.ts"

interface Case {
  readonly loss_type: ObjectiveName
  readonly f_divergence_type: FDivergence
  readonly f_alpha_divergence_coef: number
  readonly discopop_tau: number
  readonly beta: number
  readonly label_smoothing: number
  readonly ld_alpha: number
  readonly loss: number
  readonly grads: ReadonlyArray<ReadonlyArray<number>>
}
const golden: {
  readonly tokens: ReadonlyArray<ReadonlyArray<number>>
  readonly reference: ReadonlyArray<number>
  readonly pairs: ReadonlyArray<readonly [number, number]>
  readonly cases: ReadonlyArray<Case>
} = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../golden/pairs.json"), "utf8"))

const chosenIn = (c: Case): ChosenObjective => ({
  lossType: c.loss_type,
  beta: c.beta,
  labelSmoothing: c.label_smoothing,
  ldAlpha: c.ld_alpha,
  fDivergenceType: c.f_divergence_type,
  fAlphaDivergenceCoef: c.f_alpha_divergence_coef,
  discopopTau: c.discopop_tau
})
const labelled = (signal: number): ReadonlyArray<Example> => golden.pairs.map((members) => ({ members, signal, weight: 1 }))

it.each(golden.cases)("$loss_type, $f_divergence_type $f_alpha_divergence_coef, tau $discopop_tau, ld_alpha $ld_alpha, has TRL's loss and gradient, to 1e-6", async (c) => {
  const { loss, slope } = await lossAndSlope(chosenIn(c), golden, labelled(1))
  const near = (got: number, expected: number) => assert.approximately(got, expected, 1e-6 * Math.max(1, Math.abs(expected)))
  near(loss, c.loss)
  const expected = c.grads.flat()
  assert.lengthOf(slope, expected.length)
  slope.forEach((x, t) => near(x, expected[t]!))
})

it("are all of the table that TRL has", () => {
  const covered = new Set(golden.cases.map(({ loss_type }) => loss_type))
  const pairs = Object.entries(objectives).filter(([, { learnsFrom, reference }]) => learnsFrom === "preferences" && reference({ beta: 1 })).map(([name]) => name)
  assert.sameMembers([...covered, "rao_kupper"], pairs)
})

describe.each(golden.cases.filter(({ discopop_tau, f_divergence_type, ld_alpha }) => f_divergence_type === "reverse_kl" && discopop_tau === 0.05 && ld_alpha === 1))("$loss_type", (c) => {
  it("of a soft label is the expectation over it, and of a tie it prefers neither", async () => {
    const of = (signal: number, members: ReadonlyArray<readonly [number, number]>) =>
      lossAndSlope(chosenIn(c), golden, members.map((members): Example => ({ members, signal, weight: 1 })))
    const turned = golden.pairs.map(([chosen, rejected]) => [rejected, chosen] as const)
    const tie = await of(0.5, golden.pairs)
    assert.approximately((await of(0.5, turned)).loss, tie.loss, 1e-5 * Math.max(1, tie.loss))
    // ipo's is so up to a constant; exo_pair's target is the label itself; robust's weights undo its smoothing (dpo.test.ts).
    if (["ipo", "exo_pair", "robust"].includes(c.loss_type)) return
    const [right, wrong] = [await of(1, golden.pairs), await of(1, turned)]
    const soft = await of(0.75, golden.pairs)
    assert.approximately(soft.loss, 0.75 * right.loss + 0.25 * wrong.loss, 1e-5 * Math.max(1, right.loss, wrong.loss))
  })
})

it("weigh the tail of the longer completion alike in the loss and in the rewards", () => {
  const at = (ldAlpha: number) =>
    objectiveOf({ lossType: "sigmoid" }).metrics({ beta: 0.5, labelSmoothing: 0, ldAlpha }, steppedOf([{ members: [0, 1], signal: 1, weight: 1 }], golden))
  // Of the rejected completion's three tokens one is behind: -0.125, where the reference has -2.5 / 3.
  const [whole, cut] = [at(1), at(0)]
  assert.closeTo(whole["rewards/rejected"]!, 0.5 * (-2.875 + 2.5), 1e-12)
  assert.closeTo(cut["rewards/rejected"]!, 0.5 * (-2.75 + 2.5 * 2 / 3), 1e-12)
  assert.strictEqual(cut["rewards/chosen"], whole["rewards/chosen"])
})
