/** Reverse-mode differentiation of a graph, in the graph. */
import type { Graph, Value } from "./graph.ts"
import { ops } from "./ops.ts"

/**
 * dL/dx for each x of `wrt` (Griewank & Walther 2008, ch. 3), as new values of the same graph.
 *
 * @param seed dL/dy, in the shape of y (a constant 1 when y is the loss itself)
 * @returns in the order and shapes of `wrt`; `undefined` where y does not depend on x
 */
export const gradients = (
  g: Graph,
  y: Value,
  seed: Value,
  wrt: ReadonlyArray<Value>
): ReadonlyArray<Value | undefined> => {
  // Nodes are stored in the order they were made, so the nodes before y's are all that can lead to it.
  const until = y.node === undefined ? 0 : g.nodes.indexOf(y.node) + 1
  const forward = g.nodes.slice(0, until)
  const leads = new Set<Value>(wrt)
  for (const node of forward) {
    if (ops[node.op].vjp !== "stop" && node.inputs.some((x) => x !== undefined && leads.has(x))) {
      for (const output of node.outputs) leads.add(output)
    }
  }
  const soFar = new Map<Value, Value>([[y, seed]])
  for (const node of forward.reverse()) {
    const dy = soFar.get(node.outputs[0]!)
    const { vjp } = ops[node.op]
    if (dy === undefined || vjp === "stop" || !leads.has(node.outputs[0]!)) continue
    const inputs = node.inputs as ReadonlyArray<Value>
    vjp(g, dy, inputs, node.outputs, node.attributes).forEach((dx, i) => {
      const x = node.inputs[i]
      if (dx === undefined || x === undefined || !leads.has(x)) return
      const known = soFar.get(x)
      soFar.set(x, known === undefined ? dx : g.add(known, dx)) // used twice: its derivatives add up
    })
  }
  return wrt.map((x) => soFar.get(x))
}
