/** Reverse-mode differentiation of a graph, within the graph. */
import { recomputing } from "./checkpointing.ts"
import type { Graph, Value } from "./graph.ts"
import { ops } from "./ops.ts"

/**
 * dL/dx for each x of `wrt` (Griewank & Walther 2008, ch. 3), as new values of the same graph.
 *
 * @param seed dL/dy, in the shape of y (a constant 1 if y is the loss itself)
 * @param kept where the backward pass starts to compute again what the forward pass did not keep (checkpointing.ts)
 * @returns in the order and shapes of `wrt`; `undefined` if y does not depend on x
 */
export const gradients = (
  g: Graph,
  y: Value,
  seed: Value,
  wrt: ReadonlyArray<Value>,
  kept: ReadonlyArray<Value> = []
): ReadonlyArray<Value | undefined> => {
  // Nodes are stored in the order they were made, so only the nodes before y's can lead to it.
  const until = y.node === undefined ? 0 : g.nodes.indexOf(y.node) + 1
  const forward = g.nodes.slice(0, until)
  const leads = new Set<Value>(wrt)
  for (const node of forward) {
    if (ops[node.op].vjp !== "stop" && node.inputs.some((x) => x !== undefined && leads.has(x))) {
      for (const output of node.outputs) leads.add(output)
    }
  }
  const reading = recomputing(g, kept)
  const soFar = new Map<Value, Value>([[y, seed]])
  for (const node of forward.reverse()) {
    const dy = soFar.get(node.outputs[0]!)
    const { vjp } = ops[node.op]
    if (dy === undefined || vjp === "stop" || !leads.has(node.outputs[0]!)) continue
    const read = reading(node, dy)
    g.within(node.part, () => {
      const inputs = node.inputs.map((x) => x && read(x)) as ReadonlyArray<Value>
      vjp(g, dy, inputs, node.outputs.map(read), node.attributes).forEach((dx, i) => {
        const x = node.inputs[i]
        if (dx === undefined || x === undefined || !leads.has(x)) return
        const known = soFar.get(x)
        soFar.set(x, known === undefined ? dx : g.add(known, dx)) // used twice: its derivatives add up
      })
    })
  }
  return wrt.map((x) => soFar.get(x))
}
