/** Several updates from one batch: parts of it, and repetitions. */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Batch } from "../../../layers/onnx/trainer-batches.ts"
import { Trainer, type TrainerOptions } from "../../../layers/onnx/trainer-program.ts"
import { allLinear, modulesOf } from "../../../src/engine/nets/transformer.ts"
import { initialAdapter } from "../../../src/engine/weights/parameters.ts"
import { openDecoder } from "../../../src/model/model-folder.ts"
import type { ChosenObjective } from "../../../src/objectives/objectives.ts"
import { trainerDefaults } from "../../../src/wiring/trainer-defaults.ts"

const pairs: ChosenObjective = { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0 }
const sequence = (...completion: ReadonlyArray<number>) => ({ ids: [1, 2, 3, ...completion], promptLength: 3 })
/** Four pairs; the first two share their chosen completion. */
const batch: Batch = {
  sequences: [sequence(4, 5), sequence(6, 7, 8), sequence(9), sequence(5, 4), sequence(8, 6), sequence(7, 7), sequence(9, 4)],
  examples: [[0, 1], [0, 2], [3, 4], [5, 6]].map(([chosen, rejected]) => ({ members: [chosen!, rejected!] as const, signal: 1, weight: 1 }))
}
/** Pairs of the batch by themselves. */
const only = (...numbers: ReadonlyArray<number>): Batch => ({ ...batch, examples: numbers.map((n) => batch.examples[n]!) })

const trainer = async (options: Partial<TrainerOptions>, objective = pairs) => {
  const checkpoint = await Effect.runPromise(openDecoder(path.join(import.meta.dirname, "../../golden/qwen3")))
  const lora = { r: 4, alpha: 8, targets: allLinear }
  return new Trainer({
    checkpoint, lora, objective, device: "cpu", threads: 1,
    parameters: initialAdapter(modulesOf(checkpoint.config), lora, 1),
    options: { ...trainerDefaults(64, 4096, { learningRate: 1e-2, maxGradNorm: 1, schedulerType: "linear", totalSteps: 8 }).options, ...options }
  })
}
/** Parameters and moments after the batches, all numbers in one list. */
const after = async (options: Partial<TrainerOptions>, ...batches: ReadonlyArray<Batch>) => {
  const own = await trainer(options)
  const steps = []
  for (const each of batches) steps.push(await own.step(each))
  const { moments, parameters, step } = own.state()
  await own.release()
  return { steps, step, numbers: [...parameters.values(), ...moments.values()].flatMap(({ data }) => [...data]) }
}

describe("a batch in parts", () => {
  it("is as many updates as parts, bit for bit those of the parts by themselves", async () => {
    const [whole, apart] = [await after({ stepsPerGeneration: 2 }, batch), await after({}, only(0, 1), only(2, 3))]
    assert.deepStrictEqual([whole.step, apart.step], [2, 2])
    assert.deepStrictEqual(whole.numbers, apart.numbers)
    const [first] = whole.steps
    assert.isFalse("notFinite" in first!)
    if ("notFinite" in first!) return
    assert.strictEqual(first!.updates, 2)
    const metrics = apart.steps.flatMap((step) => ("notFinite" in step ? [] : [step.metrics]))
    assert.closeTo(first!.metrics["loss"]!, (metrics[0]!["loss"]! + metrics[1]!["loss"]!) / 2, 1e-9)
    assert.strictEqual(first!.metrics["num_tokens"], metrics[0]!["num_tokens"]! + metrics[1]!["num_tokens"]!)
  })

  it("has no more parts than examples, and is repeated part by part", async () => {
    const [many, four] = [await after({ stepsPerGeneration: 9 }, batch), await after({}, only(0), only(1), only(2), only(3))]
    assert.deepStrictEqual(many.numbers, four.numbers)
    const [twice, again] = [
      await after({ stepsPerGeneration: 2, iterations: 2 }, batch),
      await after({}, only(0, 1), only(2, 3), only(0, 1), only(2, 3))
    ]
    assert.deepStrictEqual([twice.step, twice.numbers], [4, again.numbers])
  })

  it("changes nothing if an update in the middle is not finite", async () => {
    const own = await trainer({ stepsPerGeneration: 2 }, { lossType: "dapo", beta: 0, labelSmoothing: 0, importanceSamplingMode: "none" })
    const before = own.state()
    const wild: Batch = {
      sequences: batch.sequences,
      examples: [0, 1, 3, 4].map((n, i) => ({ members: [n] as const, signal: i < 2 ? 1 : Infinity, weight: 1, drawn: [0, 0, 0] }))
    }
    assert.property(await own.step(wild), "notFinite")
    const now = own.state()
    await own.release()
    assert.deepStrictEqual(now.step, before.step)
    for (const [name, { data }] of before.parameters) assert.deepStrictEqual(now.parameters.get(name)!.data, data, name)
    assert.deepStrictEqual([...now.moments.keys()].map((name) => [...now.moments.get(name)!.data].every((x) => x === 0)), [...now.moments.keys()].map(() => true))
  })
})
