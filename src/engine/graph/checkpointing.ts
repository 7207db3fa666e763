/**
 * What the backward pass computes again instead of keeping it from the forward pass. Always: what is cheap, float32
 * weights made from the checkpoint's bfloat16, and the gated activations. On demand: everything between chosen values
 * of the residual stream (gradient checkpointing, Chen et al. 2016, arXiv:1604.06174). The numbers are the same to the
 * bit.
 */
import type { Graph, Node, Value } from "./graph.ts"
import type { OpName } from "./ops.ts"

/** A forward value as a derivative reads it. */
export type Read = (x: Value) => Value

/** Ops that cost one pass over values that other derivatives need anyway. */
const cheap = new Set<OpName>(["Mul", "Sigmoid", "Tanh"])

/**
 * For each node whose derivative is taken, how to read forward values. Called in the order of the backward pass, with
 * the derivative of the node's output.
 *
 * @param kept values that are kept, in order: everything between two of them is computed again from the earlier one.
 * Everything after the last is kept. [] recomputes no layer.
 */
export const recomputing = (g: Graph, kept: ReadonlyArray<Value>): (node: Node, dy: Value) => Read => {
  const places = new Map(g.nodes.map((node, i) => [node, i]))
  const ends = kept.map((x) => (x.node === undefined ? -1 : places.get(x.node)!))
  const segmentOf = (node: Node): number => {
    const end = ends.findIndex((end) => end >= places.get(node)!)
    return end < 1 ? -1 : end - 1
  }
  let segment = -1
  let copies = new Map<Value, Value>()
  const isAgain = (node: Node): boolean =>
    g.isConstant(node.outputs[0]!)
      ? node.op === "Cast"
      : segment >= 0 && segmentOf(node) === segment ||
        cheap.has(node.op) && !node.inputs.some((x) => x !== undefined && g.isConstant(x))
  return (node, dy) => {
    const own = segmentOf(node)
    if (own !== segment) {
      segment = own
      copies = new Map()
    }
    /** Waits for the derivative: a computation that waits for nothing is done first, and its result kept as before. */
    const held = (x: Value): Value => {
      const [first, ...others] = x.shape
      const free = x.node === undefined || g.isConstant(x) || first === undefined || first !== dy.shape[0] ||
        others.some((dim) => typeof dim === "string")
      if (free) return x
      const later = g.after(x, dy)
      copies.set(x, later)
      return later
    }
    const input = (x: Value): Value => copies.get(x) ?? (x.node !== undefined && isAgain(x.node) ? read(x) : held(x))
    const read: Read = (x) => {
      const known = copies.get(x)
      if (known !== undefined) return known
      if (x.node === undefined || !isAgain(x.node)) return x
      const { attributes, inputs, op, outputs, part } = x.node
      const made = g.within(part, () => g.emitAll(op, inputs.map((y) => y && input(y)), attributes))
      outputs.forEach((y, i) => copies.set(y, made[i]!))
      return copies.get(x)!
    }
    return read
  }
}
