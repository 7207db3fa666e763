/**
 * The policy gradient of small models beside transformers, peft and TRL (test/golden/make_objectives.py, which sees that
 * TRL's RLOO loss has the same gradient where policy and sampler agree).
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { sequenceFeeds } from "../../layers/onnx/sequences.ts"
import { createSession, type Feeds, float32, int64 } from "../../layers/onnx/session.ts"
import { graphs } from "../../layers/onnx/trainer-graphs.ts"
import type { TrainerSpec } from "../../layers/onnx/trainer-program.ts"
import { allLinear } from "../../src/engine/nets/transformer.ts"
import { openDecoder, openWeights, readParameters } from "../../src/model/model-folder.ts"
import { reinforce } from "../../src/objectives/reinforce.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"

interface Grad {
  readonly name: string
  readonly norm: number
}
interface Case {
  readonly family: string
  readonly advantages: ReadonlyArray<number>
  readonly weights: ReadonlyArray<number>
  readonly full: { readonly loss_float64: number; readonly grads: ReadonlyArray<Grad & { readonly first: ReadonlyArray<number> }> }
  readonly lora: { readonly loss_float64: number; readonly grads: ReadonlyArray<Grad & { readonly grad: ReadonlyArray<number> }> }
}

const folder = path.join(import.meta.dirname, "../golden")
const read = <A>(file: string): A => JSON.parse(fs.readFileSync(path.join(folder, file), "utf8"))
const cpu = { device: "cpu", threads: 1 } as const
const objective = { lossType: "reinforce", beta: 0.1, labelSmoothing: 0, nu: 3 } as const
const norm = (xs: ReadonlyArray<number>) => Math.sqrt(xs.reduce((n, x) => n + x * x, 0))

describe.each(read<ReadonlyArray<Case>>("reinforce.json"))("reinforce on $family", ({ advantages, family, full, lora, weights }) => {
  const { attention_mask, input_ids, prompt_lengths } = read<Record<string, ReadonlyArray<ReadonlyArray<number>>>>(`${family}/golden.json`)
  const sequences = input_ids!.map((ids, n) => ({
    ids: ids.slice(0, attention_mask![n]!.reduce((a, b) => a + b, 0)),
    promptLength: prompt_lengths![n] as unknown as number
  }))
  const examples = advantages.map((signal, n) => ({ members: [n] as const, signal, weight: weights[n]! }))

  /** Loss and gradients as a step of the trainer computes them. */
  const compute = async (adapted: boolean) => {
    const checkpoint = await Effect.runPromise(openDecoder(path.join(folder, family)))
    const adapter = await Effect.runPromise(openWeights(path.join(folder, family, "adapter"), "adapter_model.safetensors"))
    const spec: TrainerSpec = {
      checkpoint,
      lora: adapted ? { r: 4, alpha: 8, targets: allLinear } : undefined,
      parameters: readParameters(adapted ? adapter : checkpoint),
      ...trainerDefaults(64, 4096),
      objective,
      ...cpu
    }
    const batch = { weight: weights.reduce((a, b) => a + b, 0), tokens: 0, imitated: 0, weighedTokens: 0 }
    const own = Object.entries(reinforce.feeds(objective, { examples, lengths: [], old: undefined, batch })).map(([name, { data, type }]) =>
      [name, type === "int64" ? int64([data.length], data) : float32([data.length], Float32Array.from(data))] as const)
    const parameters: Feeds = Object.fromEntries([...spec.parameters].map(([name, { data, shape }]) => [name, float32(shape, data)]))
    const session = await createSession(graphs.objective(spec), { ...cpu, weights: "mapped", weightsFolder: checkpoint.folder })
    const out = await session.run({
      ...sequenceFeeds(checkpoint.config, sequences),
      ...parameters,
      lengths: float32([3], Float32Array.from(sequences, ({ ids, promptLength }) => ids.length - promptLength)),
      ...Object.fromEntries(own)
    })
    await session.release()
    const grad = (name: string): ReadonlyArray<number> => Array.from(out[`grad.${name}`]!.data, Number)
    return { loss: Number(out["loss"]!.data[0]), grad, trained: spec.parameters.size }
  }
  const relative = (got: number, expected: number, tolerance: number) => assert.approximately(got / expected, 1, tolerance)

  it("has the loss, to 1e-6, and the gradient of every LoRA factor, to 1e-3 of its norm", async () => {
    const { grad, loss, trained } = await compute(true)
    relative(loss, lora.loss_float64, 1e-6)
    assert.strictEqual(lora.grads.length, trained)
    for (const { grad: expected, name, norm: length } of lora.grads) {
      const got = grad(name)
      assert.strictEqual(got.length, expected.length)
      assert.isBelow(norm(got.map((x, i) => x - expected[i]!)), 1e-3 * length, name)
    }
  })

  it("has the loss, to 1e-6, and the gradient of every parameter, to 1e-3 of its norm", async () => {
    const { grad, loss, trained } = await compute(false)
    relative(loss, full.loss_float64, 1e-6)
    assert.strictEqual(full.grads.length, trained)
    for (const { first, name, norm: length } of full.grads) {
      const got = grad(name)
      relative(norm(got), length, 1e-3)
      first.forEach((x, i) => assert.approximately(got[i]!, x, 1e-3 * length, `${name}[${i}]`))
    }
  })
})
