/** References that move (TR-DPO), pairs weighed by the policy (WPO) and losses that sort a batch, with the real trainer. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createSession, type Feeds, float32, int64 } from "../../../layers/onnx/session.ts"
import { sequenceFeeds } from "../../../layers/onnx/sequences.ts"
import type { Batch } from "../../../layers/onnx/trainer-batches.ts"
import { graphs } from "../../../layers/onnx/trainer-graphs.ts"
import { type SyncReference, Trainer, type TrainerOptions, type TrainerSpec } from "../../../layers/onnx/trainer-program.ts"
import { allLinear, modulesOf } from "../../../src/engine/nets/transformer.ts"
import { mix } from "../../../src/engine/training/mix.ts"
import { initialAdapter } from "../../../src/engine/weights/parameters.ts"
import { copyParameters, type Parameters } from "../../../src/engine/weights/tensor.ts"
import { openDecoder, readParameters } from "../../../src/model/model-folder.ts"
import type { ChosenObjective } from "../../../src/objectives/objectives.ts"
import { trainerDefaults } from "../../../src/wiring/trainer-defaults.ts"

const folder = (family: string) => path.join(import.meta.dirname, "../../golden", family)
const golden = <A>(file: string): A => JSON.parse(fs.readFileSync(folder(file), "utf8"))
const cpu = { device: "cpu", threads: 1 } as const
const sigmoid: ChosenObjective = { lossType: "sigmoid", beta: 0.5, labelSmoothing: 0 }
const sequence = (...completion: ReadonlyArray<number>) => ({ ids: [1, 2, 3, ...completion], promptLength: 3 })
/** Four pairs; the first two share their chosen completion. */
const batch: Batch = {
  sequences: [sequence(4, 5), sequence(6, 7, 8), sequence(9), sequence(5, 4), sequence(8, 6), sequence(7, 7), sequence(9, 4)],
  examples: [[0, 1], [0, 2], [3, 4], [5, 6]].map(([chosen, rejected]) => ({ members: [chosen!, rejected!] as const, signal: 1, weight: 1 }))
}
type Kind = "lora" | "full"

const specOf = async (kind: Kind, options: Partial<TrainerOptions> = {}, objective = sigmoid): Promise<TrainerSpec> => {
  const checkpoint = await Effect.runPromise(openDecoder(folder("qwen3")))
  const lora = kind === "full" ? undefined : { r: 4, alpha: 8, targets: allLinear }
  const parameters = lora === undefined ? readParameters(checkpoint) : initialAdapter(modulesOf(checkpoint.config), lora, 1)
  return {
    checkpoint, lora, parameters, reference: options.syncReference && parameters, objective, ...cpu,
    options: { ...trainerDefaults(64, 4096, { learningRate: kind === "full" ? 1e-3 : 1e-2, maxGradNorm: 1 }).options, ...options }
  }
}
const plain = (of: Parameters | undefined) => of && [...of].map(([name, { data }]) => [name, ...data])
const numbers = (own: Trainer) => {
  const { moments, parameters, reference, step } = own.state()
  return [step, plain(parameters), plain(moments), plain(reference)]
}

describe.each(["lora", "full"] as const)("a reference that is copied from the policy, %s", (kind) => {
  const sync: SyncReference = { alpha: 1, steps: 2 }

  it("is that of each update: its log-probabilities are the policy's after every second one, and of no other", async () => {
    const own = new Trainer(await specOf(kind, { syncReference: sync }))
    const margins: Array<number> = []
    for (let n = 0; n < 5; n++) {
      margins.push((await own.update(batch))["rewards/margins"]!)
      const { parameters, reference } = own.state()
      if (n % 2 === 1) assert.deepStrictEqual(plain(reference), plain(parameters))
      else assert.notDeepEqual(plain(reference), plain(parameters))
      const [policy, of] = [await own.logps(batch.sequences, false), await own.logps(batch.sequences, true)]
      const apart = Math.max(...policy.flat().map((logp, i) => Math.abs(logp - of.flat()[i]!)))
      assert.strictEqual(apart < 1e-5, n % 2 === 1, `${apart} after update ${n + 1}`)
    }
    await own.release()
    // Before the first, third and fifth update both are the same; before the second and fourth they are not.
    margins.forEach((margin, n) => assert.strictEqual(Math.abs(margin) < 1e-4, n % 2 === 0, `${margin} at update ${n + 1}`))
  })

  it("counts the updates of one batch", async () => {
    const [once, twice] = [new Trainer(await specOf(kind, { syncReference: sync })), new Trainer(await specOf(kind, { syncReference: sync, iterations: 2 }))]
    for (let n = 0; n < 4; n++) await once.step(batch)
    for (let n = 0; n < 2; n++) await twice.step(batch)
    assert.deepStrictEqual(numbers(once), numbers(twice))
    await Promise.all([once.release(), twice.release()])
  })
})

describe.each([["lora", 1], ["full", 1], ["full", 0.6]] as const)("a run whose reference moves, %s with alpha %d", (kind, alpha) => {
  const options = { syncReference: { alpha, steps: 2 } }

  it("stopped between two moves and gone on with is the same run, bit for bit", async () => {
    const straight = new Trainer(await specOf(kind, options))
    for (let n = 0; n < 3; n++) await straight.step(batch)
    const { moments, parameters, reference, step } = straight.state()
    for (let n = 0; n < 3; n++) await straight.step(batch)
    const spec = await specOf(kind, options)
    const from = async (movedReference: Parameters | undefined) => {
      const own = new Trainer({ ...spec, parameters, movedReference, state: { step, moments: new Map(copyParameters(moments)) } })
      for (let n = 0; n < 3; n++) await own.step(batch)
      const end = numbers(own)
      await own.release()
      return end
    }
    assert.deepStrictEqual(await from(reference), numbers(straight))
    // With the reference that it began with it is another.
    assert.notDeepEqual((await from(undefined))[1], numbers(straight)[1])
    straight.restore({ moments, parameters, reference, step, rate: 1 })
    for (let n = 0; n < 3; n++) await straight.step(batch)
    assert.deepStrictEqual(numbers(straight), await from(reference))
    await straight.release()
  })
})

it("a mixed reference has the numbers of TRL's callback, to 1e-6", () => {
  const { synced } = golden<{
    readonly synced: ReadonlyArray<{
      readonly alpha: number
      readonly reference: ReadonlyArray<ReadonlyArray<number>>
      readonly policies: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>
      readonly after: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>
    }>
  }>("pairs.json")
  assert.deepStrictEqual(synced.map(({ alpha }) => alpha), [0.6, 0.05, 1])
  for (const { after, alpha, policies, reference } of synced) {
    const own = reference.map((row) => Float32Array.from(row))
    policies.forEach((policy, n) => {
      own.forEach((row, i) => mix(row, Float32Array.from(policy[i]!), alpha))
      after[n]!.forEach((row, i) => row.forEach((x, j) => assert.closeTo(own[i]![j]!, x, 1e-6)))
    })
  }
})

it("a reference that stays is no part of the state, and every parameter's moves by exactly its share", async () => {
  const fixed = new Trainer(await specOf("full"))
  await fixed.step(batch)
  assert.isUndefined(fixed.state().reference)
  await fixed.release()
  const spec = await specOf("full", { syncReference: { alpha: 0.25, steps: 1 } })
  const own = new Trainer(spec)
  await own.step(batch)
  const { parameters, reference } = own.state()
  await own.release()
  for (const [name, { data }] of reference!) {
    const [before, now] = [spec.parameters.get(name)!.data, parameters.get(name)!.data]
    data.forEach((x, i) => assert.strictEqual(x, Math.fround(0.75 * before[i]! + 0.25 * now[i]!)))
  }
})

describe.each(["lora", "full"] as const)("log Σ p² of the vocabulary, %s", (kind) => {
  it("is that of transformers' logits, to 1e-4, at every place of the first row", async () => {
    const { input_ids, logits } = golden<{ readonly input_ids: ReadonlyArray<ReadonlyArray<number>>; readonly logits: ReadonlyArray<ReadonlyArray<number>> }>("qwen3/golden.json")
    const spec = await specOf(kind, {}, { ...sigmoid, useWeighting: true })
    const ids = input_ids[0]!
    const session = await createSession(graphs.objective(spec), { ...cpu, weights: "mapped", weightsFolder: spec.checkpoint.folder })
    const parameters: Feeds = Object.fromEntries([...spec.parameters].map(([name, { data, shape }]) => [name, float32(shape, data)]))
    const one = (x: number) => float32([1], Float32Array.of(x))
    const out = await session.run({
      ...sequenceFeeds(spec.checkpoint.config, [{ ids, promptLength: 1 }]), ...parameters, lengths: one(ids.length - 1),
      chosen: int64([1], [0]), rejected: int64([1], [0]), right: one(1), wrong: one(0), weights: one(1)
    })
    await session.release()
    const got = [...out["concentrations"]!.data as Float32Array]
    const expected = logits.slice(0, ids.length - 1).map((row) => {
      const largest = Math.max(...row)
      const exponentials = row.map((x) => Math.exp(x - largest))
      const sum = exponentials.reduce((a, b) => a + b, 0)
      return Math.log(exponentials.reduce((a, b) => a + (b / sum) ** 2, 0))
    })
    assert.lengthOf(got, expected.length)
    got.forEach((x, t) => assert.closeTo(x, expected[t]!, 1e-4))
  })

  it("weighs a step: its metric is the pairs' mean weight, its gradient is smaller by it", async () => {
    const one: Batch = { sequences: batch.sequences, examples: [batch.examples[0]!] }
    const [weighed, not] = [new Trainer(await specOf(kind, {}, { ...sigmoid, useWeighting: true })), new Trainer(await specOf(kind))]
    const [a, b] = [await weighed.update(one), await not.update(one)]
    await Promise.all([weighed.release(), not.release()])
    const weight = a["pairs/likelihood_weight"]!
    assert.notProperty(b, "pairs/likelihood_weight")
    assert.isTrue(weight > 0 && weight !== 1)
    assert.closeTo(a["loss"]! / b["loss"]!, weight, 1e-5)
    assert.closeTo(a["grad_norm"]! / b["grad_norm"]!, weight, 1e-3 * weight)
  })
})

describe.each(["aot", "aot_unpaired"] as const)("%s", (lossType) => {
  it("sorts over all pairs of an update, in however many runs they are computed", async () => {
    const objective: ChosenObjective = { lossType, beta: 0.5, labelSmoothing: 0.1 }
    const after = async (tokensPerRun: number) => {
      const own = new Trainer(await specOf("lora", { tokensPerRun, learningRate: 0.02 }, objective))
      const steps = [await own.update(batch), await own.update(batch)]
      await own.release()
      return steps
    }
    const [whole, parts] = [await after(4096), await after(8)]
    assert.closeTo(whole[0]!["loss"]!, Math.LN2, 1e-5) // policy and reference agree
    assert.isBelow(whole[1]!["loss"]!, whole[0]!["loss"]!)
    whole.forEach((step, n) => ["loss", "grad_norm"].forEach((name) => assert.closeTo(parts[n]![name]!, step[name]!, 2e-4, name)))
  })
})
