/** The NLL of the chosen completions, beside losses of pairs and alone, as TRL computes it (test/golden/make_objectives.py). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import type { Example } from "../../src/objectives/objective.ts"
import { type ChosenObjective, objectiveOf } from "../../src/objectives/objectives.ts"
import { lossAndSlope, steppedOf } from "./compute.ts"

interface Case {
  readonly loss_type: "sigmoid" | "hinge" | "ipo" | "robust" | "sft"
  readonly beta: number
  readonly label_smoothing: number
  readonly rpo_alpha: number
  readonly tokens: ReadonlyArray<ReadonlyArray<number>>
  readonly reference: ReadonlyArray<number>
  readonly pairs: ReadonlyArray<readonly [number, number]>
  readonly loss: number
  readonly grads: ReadonlyArray<ReadonlyArray<number>>
}
const cases: ReadonlyArray<Case> = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../golden/nll.json"), "utf8"))
const plain = cases[0]!

/** Beside loss and slope, the objective's metrics of the batch. */
const compute = async (chosen: ChosenObjective, of: Pick<Case, "reference" | "tokens">, all: ReadonlyArray<Example>, examples = all) => ({
  ...await lossAndSlope(chosen, of, all, examples),
  metrics: objectiveOf(chosen).metrics(chosen, steppedOf(all, of))
})
const pairsOf = (pairs: Case["pairs"], signal = 1): ReadonlyArray<Example> => pairs.map((members) => ({ members, signal, weight: 1 }))
const objectiveIn = (c: Case): ChosenObjective => ({ lossType: c.loss_type, beta: c.beta, labelSmoothing: c.label_smoothing, rpoAlpha: c.rpo_alpha })

describe.each(cases)("$loss_type with rpo_alpha $rpo_alpha", (c) => {
  it("has TRL's loss and gradient, to 1e-5", async () => {
    const { loss, slope } = await compute(objectiveIn(c), c, pairsOf(c.pairs))
    assert.approximately(loss, c.loss, 1e-5 * Math.max(1, Math.abs(c.loss)))
    c.grads.flat().forEach((x, t) => assert.approximately(slope[t]!, x, 1e-5 * Math.max(1, c.rpo_alpha)))
  })

  it("is the same in one run as in several", async () => {
    const all = pairsOf(c.pairs)
    const whole = await compute(objectiveIn(c), c, all)
    const runs = await Promise.all(all.map((example) => compute(objectiveIn(c), c, all, [example])))
    assert.approximately(runs.reduce((sum, { loss }) => sum + loss, 0), whole.loss, 1e-5 * Math.max(1, whole.loss))
  })

  it("is reported as nll_loss, a mean over the chosen tokens", async () => {
    const { metrics } = await compute(objectiveIn(c), c, pairsOf(c.pairs))
    // Completion 0 is chosen twice, completion 3 once.
    assert.approximately(metrics["nll_loss"]!, (2 * 1.75 + 2.125) / (2 * 2 + 4), 1e-12)
  })
})

describe("what the NLL term counts", () => {
  const alone: ChosenObjective = { lossType: "sft", beta: 0.1, labelSmoothing: 0 }

  it("nothing of a tie: a batch of ties has no NLL, no gradient of it and no nll_loss", async () => {
    const { loss, metrics, slope } = await compute(alone, plain, pairsOf(plain.pairs, 0.5))
    assert.strictEqual(Math.abs(loss), 0)
    assert.isTrue(slope.every((x) => x === 0))
    assert.notProperty(metrics, "nll_loss")
  })

  it("a tie among decided pairs as if it were not there", async () => {
    const [first, second, third] = pairsOf(plain.pairs)
    const without = await compute(alone, plain, [first!, second!])
    const withTie = await compute(alone, plain, [first!, second!, { ...third!, signal: 0.5 }])
    assert.approximately(withTie.loss, without.loss, 1e-6)
    assert.approximately(withTie.metrics["nll_loss"]!, without.metrics["nll_loss"]!, 1e-12)
  })

  it("an unsure pair by how sure it is, and by its weight", async () => {
    const examples: ReadonlyArray<Example> = [{ members: [0, 1], signal: 0.75, weight: 2 }, { members: [3, 1], signal: 1, weight: 3 }]
    const { loss, metrics } = await compute(alone, plain, examples)
    // 2 · (2 · .75 - 1) = 1 of completion 0, 3 of completion 3.
    const expected = (1 * 1.75 + 3 * 2.125) / (1 * 2 + 3 * 4)
    assert.approximately(loss, expected, 1e-6)
    assert.approximately(metrics["nll_loss"]!, expected, 1e-12)
  })

  it("nothing at all where rpo_alpha is 0: graph, feeds and metrics are those without it", async () => {
    const without: ChosenObjective = { lossType: "sigmoid", beta: 0.3, labelSmoothing: 0 }
    const [none, zero] = [await compute(without, plain, pairsOf(plain.pairs)), await compute({ ...without, rpoAlpha: 0 }, plain, pairsOf(plain.pairs))]
    assert.deepEqual(zero, none)
    assert.notProperty(zero.metrics, "nll_loss")
  })
})
