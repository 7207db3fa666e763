/**
 * Every row of the op table against central differences, computed by onnxruntime in float32 (test/support/op-cases.ts; test/gpu
 * does the same on WebGPU). A row without a case fails the first test.
 */
import { assert, describe, it } from "@effect/vitest"
import { createSession, float32, int64 } from "../../layers/onnx/session.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { ops } from "../../src/engine/graph/ops.ts"
import { ShapeError } from "../../src/engine/graph/shape-error.ts"
import { cases, derivativeHolds } from "../support/op-cases.ts"

const cpu = { device: "cpu", threads: 1, weights: "prepared" } as const

describe("op table", () => {
  it("every differentiable row has a case", () => {
    const missing = Object.entries(ops).filter(([op, row]) => row.vjp !== "stop" && !(op in cases)).map(([op]) => op)
    assert.deepStrictEqual(missing, [])
  })

  for (const [op, list] of Object.entries(cases)) {
    list.forEach((test, n) => {
      it(`${op} ${n}: derivative equals the central difference`, () => derivativeHolds(test, n, "cpu"))
    })
  }

  it("a wrong shape throws while the graph is built", () => {
    const g = new Graph()
    const a = g.input("a", "float32", [2, 3])
    assert.throws(() => g.matmul(a, g.input("b", "float32", [4, 5])), ShapeError)
    assert.throws(() => g.add(a, g.input("c", "float32", ["batch", 4])), ShapeError)
  })

  it("axes without a known length work: batch and time are read at run time", async () => {
    const g = new Graph()
    const x = g.input("x", "float32", ["batch", "time", 4])
    const flat = g.reshape(x, ["batch_time", 4])
    const y = g.emit("Gemm", [flat, g.constant([1, 2, 3, 4], [1, 4])], { transB: 1 })
    const [dx] = gradients(g, y, y, [x])
    g.output("dx", dx!)
    const session = await createSession(g, cpu)
    const { dx: out } = await session.run({ x: float32([1, 2, 4], Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0)), unused: int64([1], [1]) })
    assert.deepStrictEqual([...out!.shape], [1, 2, 4])
    assert.deepStrictEqual([...out!.data as Float32Array], [1, 2, 3, 4, 2, 4, 6, 8])
    await session.release()
  })
})
