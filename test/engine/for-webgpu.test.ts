/** The graph that WebGPU gets: the same numbers as the plain one, here both on the CPU, and nothing that its kernels lack. test/gpu runs it there. */
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { createSession, type Feeds, float32, int64 } from "../../layers/onnx/session.ts"
import { graphs } from "../../layers/onnx/trainer-graphs.ts"
import { forWebGpu } from "../../src/engine/graph/for-webgpu.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { reachable } from "../../src/engine/graph/run-order.ts"
import { allLinear, modulesOf } from "../../src/engine/nets/transformer.ts"
import { initialAdapter } from "../../src/engine/weights/parameters.ts"
import { openDecoder, readParameters } from "../../src/model/model-folder.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"

/** 1, 2, 3, 4, 5, 6 in 16 bits: [3, 2]. */
const halves = new Uint8Array(Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600).buffer)

it("a table in 16 bits, zeros and the derivative of a norm give the same", async () => {
  const g = new Graph()
  const table = g.weight("table", "float16", [3, 2], { _tag: "Inline", data: halves })
  const rows = g.emit("Cast", [g.emit("Gather", [table, g.input("ids", "int64", ["n"])])], { to: 1 })
  const x = g.input("x", "float32", ["n", 2])
  const y = g.emit("SimplifiedLayerNormalization", [g.add(g.mul(x, rows), g.scalar(0.5)), g.input("w", "float32", [2])], { axis: -1, epsilon: 1e-3 })
  const picked = g.emit("Gather", [y, g.ints([1, 0, 1])])
  gradients(g, picked, g.mul(picked, picked), [x]).forEach((dx) => g.output("dx", dx!))
  const feeds: Feeds = {
    ids: int64([2], [2, 0]), x: float32([2, 2], Float32Array.of(1, -2, 0.5, 3)), w: float32([2], Float32Array.of(1, 0.3))
  }
  const [plain, other] = await Promise.all([g, forWebGpu(g)].map(async (graph) => {
    const session = await createSession(graph, { device: "cpu", threads: 1, weights: "prepared" })
    const { dx } = await session.run(feeds)
    await session.release()
    return [...dx!.data as Float32Array]
  }))
  plain!.forEach((d, i) => assert.closeTo(other![i]!, d, 1e-6))
  assert.isTrue(plain!.some((d) => Math.abs(d) > 0.1))
})

it.each(["lora", "full"] as const)("a training step, %s, asks WebGPU for nothing that it lacks or leaves empty", async (kind) => {
  const checkpoint = await Effect.runPromise(openDecoder(path.join(import.meta.dirname, "../golden/qwen3")))
  const lora = kind === "full" ? undefined : { r: 4, alpha: 8, targets: allLinear }
  const spec = {
    checkpoint, lora, device: "webgpu" as const, threads: 1, reference: undefined,
    parameters: lora === undefined ? readParameters(checkpoint) : initialAdapter(modulesOf(checkpoint.config), lora, 1),
    objective: { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0 } as const,
    options: trainerDefaults(64, 4096, {}).options
  }
  for (const [name, build] of Object.entries(graphs)) {
    const [before, after] = [reachable(build(spec)), reachable(forWebGpu(build(spec)))]
    const lacking = ({ nodes, used }: typeof before) =>
      nodes.filter(({ inputs: [first], op, outputs }) =>
        op === "ConstantOfShape" || op === "Gather" && ["float16", "bfloat16"].includes(first!.dtype) ||
        op === "SimplifiedLayerNormalization" && used.has(outputs[1]!))
    assert.deepStrictEqual(lacking(after), [], name)
    if (name === "update") assert.isNotEmpty(lacking(before))
  }
})
