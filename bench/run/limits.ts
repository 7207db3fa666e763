/** What the machine can do at most, and what a model asks of it. */
import { createSession, float32 } from "../../layers/onnx/session.ts"
import { Graph, type Value } from "../../src/engine/graph/graph.ts"
import { reachable } from "../../src/engine/graph/run-order.ts"
import { sizeOf } from "../../src/engine/weights/tensor.ts"
import { matmulPeak } from "../trainer.ts"

/** 268 MB float32: more than any cache of a desktop or a slice of a server holds. */
const [rows, width] = [16_384, 4096]

/**
 * Bytes a second at which numbers are read from memory, the best of several readers: the product of a matrix with one vector, in both
 * orders, and the largest number of each row.
 */
export const readBandwidth = async (threads: number): Promise<number> => {
  const readers: ReadonlyArray<(g: Graph, w: Value) => Value> = [
    (g, w) => g.matmul(w, g.input("column", "float32", [width, 1])),
    (g, w) => g.emit("Gemm", [g.input("row", "float32", [1, width]), w], { transB: 1 }),
    (g, w) => g.emit("ReduceMax", [w, g.ints([1])], { axes: [1] })
  ]
  const feeds = {
    w: float32([rows, width], new Float32Array(rows * width).fill(0.01)),
    column: float32([width, 1], new Float32Array(width).fill(0.01)),
    row: float32([1, width], new Float32Array(width).fill(0.01))
  }
  let best = 0
  for (const reader of readers) {
    const g = new Graph()
    g.output("y", reader(g, g.input("w", "float32", [rows, width])))
    const session = await createSession(g, { device: "cpu", spinning: true, threads, weights: "prepared" })
    for (let i = 0; i < 6; i++) {
      const began = performance.now()
      await session.run(feeds)
      best = Math.max(best, feeds.w.data.byteLength / (performance.now() - began) * 1000)
    }
    await session.release()
  }
  return best
}

export interface Limits {
  readonly threads: number
  /** Bytes a second. */
  readonly bandwidth: number
  /** Floating-point operations a second of one large float32 product. */
  readonly peak: number
}

export const limitsOf = async (threads: number): Promise<Limits> => ({
  threads,
  bandwidth: await readBandwidth(threads),
  peak: (await matmulPeak(threads)).wall * 1e9
})

const bytesOf: Readonly<Record<string, number>> = { float32: 4, float16: 2, bfloat16: 2, uint8: 1, int8: 1 }

/** Bytes of matrices that one run reads, as they lie in memory: prepared sessions hold them in float32, if not in fewer bits. */
export const weightBytes = (g: Graph): number => {
  const read = new Set<Value>()
  for (const { inputs, op, part } of reachable(g).nodes) {
    if (!/^(Gemm|MatMulNBits|MatMulIntegerToFloat)$/.test(op) || part === "attention") continue
    for (const x of inputs) if (x !== undefined && (x.node === undefined || g.isConstant(x)) && x.shape.every((n) => typeof n === "number")) read.add(x)
  }
  return [...read].reduce((n, { dtype, shape }) => n + bytesOf[dtype]! * sizeOf(shape as ReadonlyArray<number>), 0)
}
