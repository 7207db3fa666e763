/** Which nodes of a graph are encoded, and in which order onnxruntime runs them. */
import type { Graph, Node, Value } from "./graph.ts"
import { ops } from "./ops.ts"

/** Inputs that the ONNX node takes. */
export const encodedInputs = (node: Node) => node.inputs.slice(0, ops[node.op].as?.[1])

/**
 * Nodes and initializers that lead to an output, in order, but first those made only of weights. onnxruntime runs the
 * node's later listed inputs first: a weight listed after its product's other input would be widened, and kept widened,
 * before everything that leads to that input.
 */
export const reachable = (g: Graph) => {
  const used = new Set<Value>(g.outputs.map(({ value }) => value))
  const nodes = g.nodes.slice().reverse().filter((node) => {
    if (!node.outputs.some((y) => used.has(y))) return false
    for (const x of encodedInputs(node)) if (x !== undefined) used.add(x)
    return true
  }).reverse()
  const fixed = (node: Node) => g.isConstant(node.outputs[0]!)
  return {
    nodes: [...nodes.filter(fixed), ...nodes.filter((node) => !fixed(node))],
    used,
    initializers: g.initializers.filter(({ value }) => used.has(value))
  }
}

/**
 * The nodes of the encoded model in the order in which onnxruntime runs them: depth first from the outputs, the last
 * listed first, and among a node's inputs the last listed first (its reverse DFS).
 */
export const runOrder = (g: Graph): ReadonlyArray<Node> => {
  const { nodes } = reachable(g)
  const places = new Map(nodes.map((node, i) => [node, i]))
  const done = new Set<Node>()
  const order: Array<Node> = []
  const visit = (from: Node | undefined): void => {
    const stack: Array<{ readonly node: Node; readonly leave: boolean }> = from ? [{ node: from, leave: false }] : []
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { leave, node } = top
      if (leave) order.push(node)
      else if (!done.has(node)) {
        done.add(node)
        stack.push({ node, leave: true })
        const before = new Set(encodedInputs(node).flatMap((x) => (x?.node && !done.has(x.node) ? [x.node] : [])))
        for (const next of [...before].sort((a, b) => places.get(a)! - places.get(b)!)) stack.push({ node: next, leave: false })
      }
    }
  }
  for (const { value } of g.outputs.toReversed()) visit(value.node)
  return order
}
