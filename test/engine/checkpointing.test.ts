/** Gradient checkpointing changes what is kept and what is computed, never a number. */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { sequenceFeeds } from "../../layers/onnx/sequences.ts"
import { createSession, float32, int64 } from "../../layers/onnx/session.ts"
import { graphs } from "../../layers/onnx/trainer-graphs.ts"
import type { TrainerSpec } from "../../layers/onnx/trainer-program.ts"
import { openDecoder, readParameters } from "../../src/model/model-folder.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { initialAdapter, type LoraConfig } from "../../src/engine/weights/parameters.ts"
import { allLinear, modulesOf } from "../../src/engine/nets/transformer.ts"

const checkpoint = await Effect.runPromise(openDecoder(path.join(import.meta.dirname, "../golden/qwen3")))
const sequences = [[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9]].map((ids) => ({ ids, promptLength: 2 }))

const specOf = (lora: LoraConfig | undefined, gradientCheckpointing: boolean): TrainerSpec => {
  const adapter = lora && initialAdapter(modulesOf(checkpoint.config), lora, 1)
  adapter?.forEach(({ data }) => data.forEach((x, i) => (data[i] = x + 0.1 * Math.sin(i)))) // B is not zero, so A has a gradient
  return {
    checkpoint,
    lora,
    parameters: adapter ?? readParameters(checkpoint),
    ...trainerDefaults(64, 4096, { gradientCheckpointing }),
    objective: { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0, nu: 3 },
    device: "cpu",
    threads: 1
  }
}

describe.each([
  { name: "LoRA", lora: { r: 4, alpha: 8, targets: allLinear } },
  { name: "full fine-tuning", lora: undefined }
])("gradient checkpointing, $name", ({ lora }) => {
  const step = async (gradientCheckpointing: boolean, weights: "mapped" | "prepared") => {
    const spec = specOf(lora, gradientCheckpointing)
    const graph = graphs.objective(spec)
    const session = await createSession(graph, { device: "cpu", threads: 1, weights, weightsFolder: checkpoint.folder })
    const out = await session.run({
      ...sequenceFeeds(checkpoint.config, sequences),
      ...Object.fromEntries([...spec.parameters].map(([name, { data, shape }]) => [name, float32(shape, data)])),
      lengths: float32([2], Float32Array.of(6, 3)),
      chosen: int64([1], [0]),
      rejected: int64([1], [1]),
      right: float32([1], Float32Array.of(1)),
      wrong: float32([1], Float32Array.of(0)),
      weights: float32([1], Float32Array.of(1))
    })
    await session.release()
    return { graph, out }
  }

  it.each(["mapped", "prepared"] as const)("the same loss and gradients, bit for bit (weights %s)", async (weights) => {
    const [kept, again] = [await step(false, weights), await step(true, weights)]
    assert.isAbove(Object.keys(kept.out).length, 10)
    assert.deepStrictEqual(Object.keys(again.out), Object.keys(kept.out))
    for (const [name, { data }] of Object.entries(kept.out)) assert.deepStrictEqual(again.out[name]!.data, data, name)
    // Something was computed again.
    const softmaxes = ({ nodes }: typeof kept.graph) => nodes.filter(({ op }) => op === "Softmax").length
    assert.isAbove(softmaxes(again.graph), softmaxes(kept.graph))
  })
})
