/** Objectives of pairs: plain labels beside TRL, soft ones and ties beside their formulas in float64. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { createSession, float32 } from "../../layers/onnx/session.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { hinge, ipo, raoKupper as raoKupperRow, robust, sigmoid as sigmoidRow } from "../../src/objectives/dpo.ts"
import { type PairLogps, withScores } from "../../src/objectives/pair-objective.ts"
import { lossAndSlope, steppedOf } from "./compute.ts"

const rows = { sigmoid: sigmoidRow, hinge, ipo, robust, rao_kupper: raoKupperRow }
type LossType = keyof typeof rows
const lossTypes = Object.keys(rows) as Array<LossType>

const [beta, nu] = [0.3, 2.5]
const ds = [-9, -2.5, -0.4, 0, 0.7, 3, 11]

/** Loss and its derivative by d of pairs with log-ratio d = chosen - rejected, lengths 1. */
const compute = async (lossType: LossType, labelSmoothing: number, label: number) => {
  const g = new Graph()
  const settings = { beta, labelSmoothing, nu }
  const inputs = ["chosen", "rejected", "refChosen", "refRejected", "chosenLength", "rejectedLength", "right", "wrong"]
    .map((name) => [name, g.input(name, "float32", ["pair"])] as const)
  const at = withScores(g, settings, Object.fromEntries(inputs) as unknown as PairLogps)
  const loss = rows[lossType].pairLoss(g, settings, at)
  g.output("loss", loss)
  g.output("slope", gradients(g, g.sum(loss, [0], true), g.constant([1], [1]), [at.chosen])[0]!)
  const session = await createSession(g, { device: "cpu", threads: 1, weights: "mapped" })
  const { right, wrong } = rows[lossType].labelWeights(settings, label)
  const feed = (of: (d: number) => number) => float32([ds.length], Float32Array.from(ds, of))
  const out = await session.run({
    chosen: feed((d) => d - 5),
    rejected: feed(() => -3),
    refChosen: feed(() => -5),
    refRejected: feed(() => -3),
    chosenLength: feed(() => 1),
    rejectedLength: feed(() => 1),
    right: feed(() => right),
    wrong: feed(() => wrong)
  })
  await session.release()
  return { loss: Array.from(out["loss"]!.data, Number), slope: Array.from(out["slope"]!.data, Number) }
}
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

/** -log of the probability that Rao and Kupper's model gives a win, a loss and a tie. */
const raoKupper = (d: number) => {
  const [win, loss] = [sigmoid(beta * d - Math.log(nu)), sigmoid(-beta * d - Math.log(nu))]
  return { win: -Math.log(win), loss: -Math.log(loss), tie: -Math.log(1 - win - loss) }
}

describe("preference losses beside TRL, to 1e-6", () => {
  interface Case {
    readonly loss_type: LossType
    readonly beta: number
    readonly label_smoothing: number
    readonly policy_chosen: Array<number>
    readonly policy_rejected: Array<number>
    readonly ref_chosen: Array<number>
    readonly ref_rejected: Array<number>
    readonly chosen_lengths: Array<number>
    readonly rejected_lengths: Array<number>
    readonly losses: Array<number>
  }
  const cases: ReadonlyArray<Case> = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../golden/losses.json"), "utf8"))
  it.each(cases)("$loss_type, beta $beta, label smoothing $label_smoothing", async (c) => {
    const g = new Graph()
    const n = c.losses.length
    const input = (name: string) => g.input(name, "float32", ["pair"])
    const settings = { beta: c.beta, labelSmoothing: c.label_smoothing, nu }
    const { right, wrong } = rows[c.loss_type].labelWeights(settings, 1)
    const loss = rows[c.loss_type].pairLoss(g, settings, withScores(g, settings, {
      chosen: input("chosen"),
      rejected: input("rejected"),
      refChosen: input("refChosen"),
      refRejected: input("refRejected"),
      chosenLength: input("chosenLength"),
      rejectedLength: input("rejectedLength"),
      right: input("right"),
      wrong: input("wrong")
    }))
    g.output("loss", loss)
    const session = await createSession(g, { device: "cpu", threads: 1, weights: "mapped" })
    const feed = (xs: Array<number>) => float32([n], Float32Array.from(xs))
    const out = await session.run({
      chosen: feed(c.policy_chosen),
      rejected: feed(c.policy_rejected),
      refChosen: feed(c.ref_chosen),
      refRejected: feed(c.ref_rejected),
      chosenLength: feed(c.chosen_lengths),
      rejectedLength: feed(c.rejected_lengths),
      right: feed(c.losses.map(() => right)),
      wrong: feed(c.losses.map(() => wrong))
    })
    await session.release()
    // float32: a loss of size s carries an error of about s * 6e-8 * the number of operations.
    c.losses.forEach((x, i) => assert.approximately(Number(out["loss"]!.data[i]), x, 1e-6 * Math.max(1, Math.abs(x))))
  })
})

describe("rao_kupper", () => {
  it("is -log P(win) for a plain label, and -log P(tie) for a tie but for log(nu^2 - 1)", async () => {
    const won = await compute("rao_kupper", 0, 1)
    const tied = await compute("rao_kupper", 0, 0.5)
    ds.forEach((d, i) => {
      assert.closeTo(won.loss[i]!, raoKupper(d).win, 1e-5)
      assert.closeTo(tied.loss[i]! - Math.log(nu ** 2 - 1), raoKupper(d).tie, 1e-5)
    })
  })

  it("draws tied drawings together, with no pull where they are", async () => {
    const { slope } = await compute("rao_kupper", 0, 0.5)
    ds.forEach((d, i) => (d === 0 ? assert.closeTo(slope[i]!, 0, 1e-7) : assert.strictEqual(Math.sign(slope[i]!), Math.sign(d))))
  })

  it("weighs win and loss by a soft label", async () => {
    const { loss } = await compute("rao_kupper", 0, 0.8)
    ds.forEach((d, i) => assert.closeTo(loss[i]!, 0.8 * raoKupper(d).win + 0.2 * raoKupper(d).loss, 1e-5))
  })
})

describe("soft labels", () => {
  it.each(lossTypes.filter((type) => type !== "rao_kupper"))("%s at 0.8 has the slope of 0.8 plain labels and 0.2 opposite ones", async (type) => {
    for (const smoothing of type === "sigmoid" || type === "robust" ? [0, 0.1] : [0]) {
      const [soft, plain] = [await compute(type, smoothing, 0.8), await compute(type, smoothing, 1)]
      ds.forEach((d, i) => assert.closeTo(plain.slope[i]!, slopeOfPlain(type, smoothing, d), 2e-5))
      // The opposite label at d is the plain one at -d, mirrored.
      ds.forEach((d, i) => assert.closeTo(soft.slope[i]!, 0.8 * plain.slope[i]! - 0.2 * slopeOfPlain(type, smoothing, -d), 2e-5))
    }
  })

  it("sigmoid at 0.8 is least where the policy says 0.8", async () => {
    const { slope } = await compute("sigmoid", 0, 0.8)
    const best = Math.log(0.8 / 0.2) / beta
    ds.forEach((d, i) => assert.strictEqual(Math.sign(slope[i]!), Math.sign(d - best)))
  })
})

/** d/dd of the loss with a plain label, by formula. */
const slopeOfPlain = (type: LossType, e: number, d: number): number => {
  switch (type) {
    case "sigmoid":
      return beta * (-(1 - e) * sigmoid(-beta * d) + e * sigmoid(beta * d))
    case "robust":
      return beta * (-(1 - e) * sigmoid(-beta * d) - e * sigmoid(beta * d)) / (1 - 2 * e)
    case "hinge":
      return beta * d < 1 ? -beta : 0
    case "ipo":
      return 2 * (d - 1 / (2 * beta))
    case "rao_kupper":
      return -beta * sigmoid(Math.log(nu) - beta * d)
  }
}

describe("a floor under rejected completions", () => {
  const floor = 0.5 // nats a token
  /** Loss and slopes of one pair whose sides have 2 and 4 tokens and these log-ratios to their references. */
  const at = async (lossType: LossType, chosen: number, rejected: number, settings: { readonly rejectedFloor?: number; readonly label?: number }) => {
    const { label = 1, ...own } = settings
    const given = { lossType, beta, labelSmoothing: 0, nu, ...own }
    const examples = [{ members: [0, 1], signal: label, weight: 1 }] as const
    const [reference, tokens] = [[-3, -8], [[chosen - 3, 0], [rejected - 8, 0, 0, 0]]]
    const { loss, slope } = await lossAndSlope(given, { reference, tokens }, examples)
    const stepped = steppedOf(examples, { reference, tokens })
    return { loss, slope: [slope[0], slope[2]], floored: rows[lossType].metrics(given, stepped)["rejected/floored"] }
  }

  it.each(lossTypes)("%s: changes nothing above it", async (type) => {
    const [free, held] = [await at(type, -0.5, -1.9, {}), await at(type, -0.5, -1.9, { rejectedFloor: floor })]
    assert.deepEqual({ ...held, floored: undefined }, free)
    assert.strictEqual(held.floored, 0)
  })

  it.each(lossTypes)("%s: below it only the chosen completion moves, and the loss is that at the floor", async (type) => {
    const [free, held, there] = [
      await at(type, -2.5, -2.75, {}),
      await at(type, -2.5, -2.75, { rejectedFloor: floor }),
      await at(type, -2.5, -2, {})
    ]
    assert.notStrictEqual(free.slope[1], 0)
    assert.strictEqual(Math.abs(held.slope[1]!), 0)
    assert.strictEqual(held.loss, there.loss)
    assert.strictEqual(held.slope[0], there.slope[0])
    assert.strictEqual(held.floored, 1)
  })

  it("rao_kupper: a tie has no rejected side and no floor", async () => {
    const [free, held] = [await at("rao_kupper", -0.5, -7, { label: 0.5 }), await at("rao_kupper", -0.5, -7, { label: 0.5, rejectedFloor: floor })]
    assert.deepEqual(held, free)
  })
})
