/** How much memory the values of a graph need during a run, found without running it. */
import type { DType, Graph, Value } from "./graph.ts"
import type { OpName } from "./ops.ts"
import { encodedInputs, runOrder } from "./run-order.ts"

const widths: Readonly<Record<DType, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  bool: 1,
  uint8: 1,
  int8: 1
}

/** Ops whose result is the first input's buffer under another shape. */
const views = new Set<OpName>(["Identity", "Reshape", "Squeeze", "Unsqueeze"])
/** Ops whose result may overwrite an input of its size that nothing else reads. */
const inPlace = new Set<OpName>([
  "Add", "Sub", "Mul", "Div", "Neg", "Exp", "Log", "Sqrt", "Sigmoid", "Tanh", "Erf", "Softplus", "Relu", "Softmax"
])

/**
 * The most bytes that values computed in one run hold at the same time: outputs included, inputs and weights not.
 *
 * @returns a function of the lengths of all named axes
 */
export const peakBytes = (g: Graph): (lengths: Readonly<Record<string, number>>) => number => {
  const order = runOrder(g).map((node) => ({ node, read: [...new Set(encodedInputs(node).filter((x) => x !== undefined))] }))
  const uses = new Map<Value, number>(g.outputs.map(({ value }) => [value, 1]))
  for (const { read } of order) for (const x of read) uses.set(x, (uses.get(x) ?? 0) + 1)
  return (lengths) => {
    const bytes = ({ dtype, name, shape }: Value): number =>
      shape.reduce<number>((n, dim) => {
        const length = typeof dim === "number" ? dim : lengths[dim]
        if (length === undefined) throw new Error(`the length of axis ${dim} of ${name} is not given`)
        return n * length
      }, widths[dtype])
    /** For each value, the buffer it shares with others. */
    const buffers = new Map<Value, { bytes: number; readers: number }>()
    let live = 0
    let peak = 0
    for (const { node, read } of order) {
      const own = read.flatMap((x) => {
        const buffer = buffers.get(x)
        return buffer === undefined ? [] : [{ x, buffer }]
      })
      node.outputs.forEach((y, i) => {
        const readers = uses.get(y) ?? 0
        if (readers === 0) return
        const size = bytes(y)
        const over = views.has(node.op)
          ? own.find(({ x }) => x === node.inputs[0])
          : inPlace.has(node.op) && i === 0
          ? own.find(({ buffer }) => buffer.readers === 1 && buffer.bytes === size)
          : undefined
        const buffer = over?.buffer ?? { bytes: size, readers: 0 }
        buffer.readers += readers
        buffers.set(y, buffer)
        if (over === undefined) live += size
      })
      peak = Math.max(peak, live)
      for (const { buffer } of own) if (--buffer.readers === 0) live -= buffer.bytes
    }
    return peak
  }
}
