/** A case or more of every differentiable row of the op table, and the check of its derivative, on any device. */
import { assert } from "@effect/vitest"
import { createSession, type Device, type Feeds, float32 } from "../../layers/onnx/session.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph, type Value } from "../../src/engine/graph/graph.ts"
import type { OpName } from "../../src/engine/graph/ops.ts"
import { random } from "../../src/engine/random.ts"
import { sizeOf } from "../../src/engine/weights/tensor.ts"

export type Case = {
  /** Shapes of the differentiable inputs. */
  readonly inputs: ReadonlyArray<ReadonlyArray<number>>
  readonly build: (g: Graph, xs: ReadonlyArray<Value>) => Value
  /** Values are drawn from [low, high]; kinks must stay out of reach of h. */
  readonly range?: readonly [number, number]
}

const unary = (op: OpName, range: readonly [number, number] = [-1.5, 1.5]): Case => ({
  inputs: [[2, 3]],
  build: (g, [x]) => g.emit(op, [x]),
  range
})

export const cases: Partial<Record<OpName, ReadonlyArray<Case>>> = {
  Add: [{ inputs: [[2, 3], [3]], build: (g, [a, b]) => g.add(a!, b!) }],
  Sub: [{ inputs: [[2, 1, 3], [4, 1]], build: (g, [a, b]) => g.sub(a!, b!) }],
  Mul: [{ inputs: [[2, 3], [2, 1]], build: (g, [a, b]) => g.mul(a!, b!) }],
  Div: [{ inputs: [[3], [2, 3]], build: (g, [a, b]) => g.div(a!, b!), range: [0.5, 2] }],
  Neg: [unary("Neg")],
  Exp: [unary("Exp")],
  Log: [unary("Log", [0.5, 2])],
  Sqrt: [unary("Sqrt", [0.5, 2])],
  Cos: [unary("Cos")],
  Sin: [unary("Sin")],
  Sigmoid: [unary("Sigmoid")],
  Tanh: [unary("Tanh")],
  Erf: [unary("Erf")],
  Softplus: [unary("Softplus")],
  Relu: [unary("Relu", [0.2, 2]), unary("Relu", [-2, -0.2])],
  Identity: [unary("Identity")],
  Where: [{
    inputs: [[2, 3], [3]],
    build: (g, [a, b]) =>
      g.emit("Where", [g.emit("Cast", [g.constant([1, 0, 0, 1, 1, 0], [2, 3])], { to: 9 }), a, b])
  }],
  MatMul: [
    { inputs: [[2, 3], [3, 4]], build: (g, [a, b]) => g.matmul(a!, b!) },
    { inputs: [[2, 1, 2, 3], [4, 3, 2]], build: (g, [a, b]) => g.matmul(a!, b!) }
  ],
  Gemm: [[0, 0], [0, 1], [1, 0], [1, 1]].flatMap(([transA, transB]): Array<Case> => {
    const [a, b] = [transA ? [3, 2] : [2, 3], transB ? [4, 3] : [3, 4]]
    const attributes = { transA: transA!, transB: transB! }
    return [
      { inputs: [a, b], build: (g, [a, b]) => g.emit("Gemm", [a, b], attributes) },
      { inputs: [a, b, [2, 4]], build: (g, [a, b, c]) => g.emit("Gemm", [a, b, c], { ...attributes, alpha: 0.7 }) }
    ]
  }),
  Reshape: [{ inputs: [[2, 6]], build: (g, [x]) => g.reshape(x!, [2, 3, 2]) }],
  Transpose: [{ inputs: [[2, 3, 4]], build: (g, [x]) => g.transpose(x!, [2, 0, 1]) }],
  Concat: [{ inputs: [[2, 3], [2, 1]], build: (g, [a, b]) => g.concat([a!, b!], -1) }],
  Slice: [{ inputs: [[2, 5]], build: (g, [x]) => g.slice(x!, 1, 1, 4) }],
  Unsqueeze: [{ inputs: [[2, 3]], build: (g, [x]) => g.unsqueeze(x!, [0, 2]) }],
  Squeeze: [{ inputs: [[2, 1, 3, 1]], build: (g, [x]) => g.squeeze(x!, [1, 3]) }],
  Expand: [{ inputs: [[2, 1]], build: (g, [x]) => g.emit("Expand", [x, g.ints([4, 2, 3])], { to: "4,2,3" }) }],
  ReduceSum: [
    { inputs: [[2, 3, 4]], build: (g, [x]) => g.sum(x!, [1]) },
    { inputs: [[2, 3, 4]], build: (g, [x]) => g.sum(x!, [-1, 0], true) }
  ],
  Softmax: [unary("Softmax")],
  LogSoftmax: [unary("LogSoftmax")],
  SimplifiedLayerNormalization: [{
    inputs: [[2, 3, 4], [4]],
    build: (g, [x, w]) => g.emit("SimplifiedLayerNormalization", [x, w], { axis: -1, epsilon: 1e-5 })
  }],
  LayerNormalization: [{
    inputs: [[2, 3, 4], [4], [4]],
    build: (g, [x, w, b]) => g.emit("LayerNormalization", [x, w, b], { axis: -1, epsilon: 1e-5 })
  }],
  RotaryEmbedding: [{
    inputs: [[1, 2, 3, 4]],
    build: (g, [x]) => {
      const angles = [0, 1, 2].flatMap((t) => [t, t / 10])
      return g.emit("RotaryEmbedding", [
        x,
        g.ints([0, 1, 2], [1, 3]),
        g.constant(angles.map(Math.cos), [3, 2]),
        g.constant(angles.map(Math.sin), [3, 2])
      ])
    }
  }],
  Gather: [{ inputs: [[5, 3]], build: (g, [x]) => g.emit("Gather", [x, g.ints([4, 1, 1, 0], [2, 2])]) }],
  ScatterElements: [{
    inputs: [[4], [5]],
    build: (g, [x, updates]) =>
      g.emit("ScatterElements", [x, g.ints([3, 0, 0, 1, 3]), updates], { axis: 0, reduction: "add" })
  }],
  WithDerivative: [{
    inputs: [[3, 2]],
    build: (g, [x]) => g.emit("WithDerivative", [g.sum(g.mul(x!, x!), [1]), x, g.scale(x!, 2)])
  }],
  Rearrange: [{
    inputs: [[3, 2]],
    // Places 0 and 3 are padding, which counts for nothing.
    build: (g, [x]) =>
      g.mul(
        g.emit("Rearrange", [x, g.ints([0, 2, 0, 0, 1]), g.ints([2, 4, 1])]),
        g.constant([0, 1, 1, 0, 1], [5, 1])
      )
  }, {
    inputs: [[5, 2]],
    build: (g, [x]) =>
      g.emit("Rearrange", [x, g.ints([2, 4, 1]), g.ints([0, 2, 0, 0, 1]), g.constant([0, 1, 1, 0, 1], [5, 1])])
  }],
  GatherElements: [{
    inputs: [[3, 4]],
    build: (g, [x]) => g.emit("GatherElements", [x, g.ints([3, 3, 0, 1, 2, 2], [3, 2])], { axis: 1 })
  }]
}

/** L = Σ c · y for fixed random c: dL/dx from the table beside (L(x + h) - L(x - h)) / 2h, both computed on the device in float32. */
export const derivativeHolds = async (test: Case, n: number, device: Device): Promise<void> => {
  const draw = random(7, n)
  const [low, high] = test.range ?? [-1, 1]
  const points = test.inputs.map((shape) =>
    Float32Array.from({ length: sizeOf(shape) }, () => low + (high - low) * draw())
  )
  const g = new Graph()
  const xs = test.inputs.map((shape, i) => g.input(`x${i}`, "float32", shape))
  const y = test.build(g, xs)
  const size = sizeOf(y.shape as ReadonlyArray<number>)
  const c = g.constant(Array.from({ length: size }, () => 2 * draw() - 1), y.shape as ReadonlyArray<number>)
  g.output("loss", g.sum(g.mul(y, c), y.shape.map((_, i) => i)))
  gradients(g, y, c, xs).forEach((dx, i) => g.output(`dx${i}`, dx!))
  const session = await createSession(g, { device, threads: 1, weights: "prepared" })
  const feeds = (): Feeds =>
    Object.fromEntries(test.inputs.map((shape, i) => [`x${i}`, float32(shape, points[i]!)]))
  const base = await session.run(feeds())
  const h = 1e-2
  for (let i = 0; i < points.length; i++) {
    const dx = base[`dx${i}`]!
    assert.deepStrictEqual([...dx.shape], [...test.inputs[i]!], `shape of dx${i}`)
    for (let j = 0; j < points[i]!.length; j++) {
      const at = async (delta: number) => {
        const held = points[i]![j]!
        points[i]![j] = held + delta
        const { loss } = await session.run(feeds())
        points[i]![j] = held
        return Number(loss!.data[0])
      }
      const difference = (await at(h) - await at(-h)) / (2 * h)
      assert.approximately(Number(dx.data[j]), difference, 2e-3, `d loss / d x${i}[${j}]`)
    }
  }
  await session.release()
}
