/**
 * What the backward pass computes once more instead of keeping it since the forward pass: always the weights in float32,
 * which are cheaply made of the checkpoint's bfloat16, and on demand all that lies between chosen values of the residual
 * stream (gradient checkpointing, Chen et al. 2016, arXiv:1604.06174). The numbers are the same to the bit.
 */
import type { Graph, Node, Value } from "./graph.ts"

/** A forward value as a derivative reads it. */
export type Read = (x: Value) => Value

/**
 * For each node whose derivative is taken, how to read forward values; asked in the order of the backward pass, with the
 * derivative of what the node made.
 *
 * @param kept values that are kept, in order, each of the same shape: all between two of them is computed again from the
 * earlier one, once the derivative of the later one is there. What comes after the last is kept. [] recomputes no layer.
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
  const again = (node: Node): boolean =>
    g.isConstant(node.outputs[0]!) ? node.op === "Cast" : segment >= 0 && segmentOf(node) === segment
  const read: Read = (x) => {
    const known = copies.get(x)
    if (known !== undefined) return known
    if (x.node === undefined || !again(x.node)) return x
    const { attributes, inputs, op, outputs } = x.node
    const made = g.emitAll(op, inputs.map((input) => input && read(input)), attributes)
    outputs.forEach((y, i) => copies.set(y, made[i]!))
    return copies.get(x)!
  }
  return (node, dy) => {
    const own = segmentOf(node)
    if (own !== segment) {
      segment = own
      copies = new Map()
      // A sequence of runs that nothing holds back would all be done first, and their results kept as before.
      if (own >= 0) copies.set(kept[own]!, g.after(kept[own]!, dy))
    }
    return read
  }
}
