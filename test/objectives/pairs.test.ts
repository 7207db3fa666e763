/** Every loss of pairs and every f-divergence beside TRL 1.16's own code (test/golden/make_pairs.py). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import type { Example, FDivergence } from "../../src/objectives/objective.ts"
import { type ChosenObjective, likelihoodIn, lossNames, type LossType, notAdded, objectiveOf, objectives } from "../../src/objectives/objectives.ts"
import { lossAndSlope, steppedOf } from "./compute.ts"

interface Case {
  readonly loss_type: LossType
  readonly loss_weights?: ReadonlyArray<number>
  readonly use_weighting?: boolean
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
  readonly concentrations: ReadonlyArray<ReadonlyArray<number>>
  readonly cases: ReadonlyArray<Case>
} = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../golden/pairs.json"), "utf8"))

const chosenIn = (c: Case): ChosenObjective => ({
  lossType: c.loss_type,
  lossWeights: c.loss_weights,
  useWeighting: c.use_weighting ?? false,
  beta: c.beta,
  labelSmoothing: c.label_smoothing,
  ldAlpha: c.ld_alpha,
  fDivergenceType: c.f_divergence_type,
  fAlphaDivergenceCoef: c.f_alpha_divergence_coef,
  discopopTau: c.discopop_tau
})
const labelled = (signal: number): ReadonlyArray<Example> => golden.pairs.map((members) => ({ members, signal, weight: 1 }))

it.each(golden.cases)("$loss_type, $f_divergence_type $f_alpha_divergence_coef, tau $discopop_tau, ld_alpha $ld_alpha, weighted $use_weighting by $loss_weights, has TRL's loss and gradient, to 1e-6", async (c) => {
  const { loss, slope } = await lossAndSlope(chosenIn(c), golden, labelled(1))
  const near = (got: number, expected: number) => assert.approximately(got, expected, 1e-6 * Math.max(1, Math.abs(expected)))
  near(loss, c.loss)
  const expected = c.grads.flat()
  assert.lengthOf(slope, expected.length)
  slope.forEach((x, t) => near(x, expected[t]!))
})

it("are all of the table that TRL has", () => {
  const covered = new Set(golden.cases.flatMap(({ loss_type }) => lossNames(loss_type)).filter((name) => name !== "sft"))
  const pairs = Object.entries(objectives).filter(([, { learnsFrom, reference }]) => learnsFrom === "preferences" && reference({ beta: 1 })).map(([name]) => name)
  assert.sameMembers([...covered, "rao_kupper"], pairs)
})

describe("a list of losses", () => {
  const given = { beta: 0.3, labelSmoothing: 0 }
  const compute = (chosen: ChosenObjective) => lossAndSlope(chosen, golden, labelled(1))

  it("of one is that one, bit for bit", async () => {
    for (const name of ["sigmoid", "sft"] as const) assert.deepStrictEqual(await compute({ ...given, lossType: [name] }), await compute({ ...given, lossType: name }))
  })

  it("of a loss and sft is rpo_alpha, bit for bit, and reads no other", async () => {
    const mixed: ChosenObjective = { ...given, lossType: ["sigmoid", "sft"], lossWeights: [1, 4], rpoAlpha: 9 }
    assert.deepStrictEqual(await compute(mixed), await compute({ ...given, lossType: "sigmoid", rpoAlpha: 4 }))
    assert.notInclude(objectiveOf(mixed).reads, "rpoAlpha")
    assert.deepStrictEqual([likelihoodIn(mixed), likelihoodIn({ ...given, lossType: "sigmoid", rpoAlpha: 4 }), likelihoodIn({ ...given, lossType: "sft" })], [4, 4, 0])
  })

  it("without sft adds rpo_alpha once", async () => {
    const [with_, without, alone] = [
      await compute({ ...given, lossType: ["sigmoid", "hinge"], rpoAlpha: 2 }),
      await compute({ ...given, lossType: ["sigmoid", "hinge"] }),
      await compute({ ...given, lossType: "sft" })
    ]
    assert.closeTo(with_.loss, without.loss + 2 * alone.loss, 1e-5)
  })

  it("has the metrics of pairs, and nll_loss where sft is in it", () => {
    const names = (lossType: LossType) => Object.keys(objectiveOf({ lossType }).metrics(given, steppedOf(labelled(1), golden)))
    assert.sameMembers(names(["sigmoid", "bco_pair", "sft"]), [...names("sigmoid"), "nll_loss"])
  })

  it("of losses that are none of pairs, or of one twice, is refused", () => {
    assert.match(notAdded(["sigmoid", "dapo"])!, /dapo is none/)
    assert.match(notAdded(["sft", "sigmoid", "sft"])!, /names sft twice/)
    assert.throws(() => objectiveOf({ lossType: ["sigmoid", "sigmoid"] }), /twice/)
  })
})

it("weigh the likelihood of the chosen ones as without use_weighting", async () => {
  const at = async (useWeighting: boolean, rpoAlpha: number) =>
    (await lossAndSlope({ lossType: "sigmoid", beta: 0.3, labelSmoothing: 0, useWeighting, rpoAlpha }, golden, labelled(1))).loss
  assert.closeTo(await at(true, 2) - await at(true, 0), await at(false, 2) - await at(false, 0), 1e-6)
})

describe("aot", () => {
  const chosen = (lossType: "aot" | "aot_unpaired"): ChosenObjective => ({ lossType, beta: 0.3, labelSmoothing: 0.1 })

  it.each(["aot", "aot_unpaired"] as const)("%s is the same in one run as in several", async (lossType) => {
    const all = labelled(1).map((example, n) => ({ ...example, weight: 1 + n }))
    const whole = await lossAndSlope(chosen(lossType), golden, all)
    const runs = await Promise.all(all.map((example) => lossAndSlope(chosen(lossType), golden, all, [example])))
    assert.approximately(runs.reduce((sum, { loss }) => sum + loss, 0), whole.loss, 1e-6)
    whole.slope.forEach((x, t) => assert.approximately(runs.reduce((sum, { slope }) => sum + slope[t]!, 0), x, 1e-6))
  })

  it.each(["aot", "aot_unpaired"] as const)("%s of weighed pairs has the gradient of its loss (finite differences)", async (lossType) => {
    const all = labelled(0.75).map((example, n) => ({ ...example, weight: 1 + n }))
    const { slope } = await lossAndSlope(chosen(lossType), golden, all)
    const flat = golden.tokens.flatMap((row, n) => row.map((_, t) => [n, t] as const))
    for (const [i, [n, t]] of flat.entries()) {
      const at = async (step: number) =>
        (await lossAndSlope(chosen(lossType), { ...golden, tokens: golden.tokens.map((row, m) => row.map((x, s) => (m === n && s === t ? x + step : x))) }, all)).loss
      assert.closeTo(slope[i]!, (await at(0.01) - await at(-0.01)) / 0.02, 1e-3)
    }
  })
})

describe.each(golden.cases.filter(({ discopop_tau, f_divergence_type, ld_alpha, loss_weights, use_weighting }) => loss_weights === undefined && use_weighting === undefined && f_divergence_type === "reverse_kl" && discopop_tau === 0.05 && ld_alpha === 1))("$loss_type", (c) => {
  it("of a soft label is the expectation over it, and of a tie it prefers neither", async () => {
    const of = (signal: number, members: ReadonlyArray<readonly [number, number]>) =>
      lossAndSlope(chosenIn(c), golden, members.map((members): Example => ({ members, signal, weight: 1 })))
    const turned = golden.pairs.map(([chosen, rejected]) => [rejected, chosen] as const)
    const tie = await of(0.5, golden.pairs)
    assert.approximately((await of(0.5, turned)).loss, tie.loss, 1e-5 * Math.max(1, tie.loss))
    // ipo's is so up to a constant; exo_pair's target is the label itself; robust's weights undo its smoothing (dpo.test.ts).
    if (["ipo", "exo_pair", "robust"].includes(String(c.loss_type))) return
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
