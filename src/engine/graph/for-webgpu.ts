/**
 * A graph for onnxruntime's WebGPU provider, whose kernels differ from those of the CPU in three ways (1.30.0, each seen on a
 * device; test/gpu). It looks up no rows of a table in 16 bits where shaders have none. It has no ConstantOfShape, so
 * zeros would be made on the CPU and copied. And its RMSNorm leaves the second output, 1 / rms(x), as it finds it,
 * without a word: derivatives made of that are wrong a thousandfold.
 */
import { Graph, type Node, type Value } from "./graph.ts"
import { reachable } from "./run-order.ts"

/** Tables in 16 bits are widened before their rows are looked up, one zero is expanded, 1 / rms(x) is computed by itself. @param from is not changed */
export const forWebGpu = (from: Graph): Graph => {
  const g = new Graph()
  const { initializers, nodes, used } = reachable(from)
  const values = new Map<Value, Value>()
  const wide = new Map<Value, Value>()
  const of = (x: Value): Value => values.get(x)!
  for (const x of from.inputs) values.set(x, g.input(x.name, x.dtype, x.shape))
  // Under another name: this graph's own constants are numbered too.
  for (const { bytes, value: x } of initializers) values.set(x, g.weight(`from ${x.name}`, x.dtype, x.shape.map(Number), bytes))
  for (const node of nodes) {
    g.within(node.part, () => {
      const inputs = node.inputs.map((x) => x && of(x))
      if (node.op === "Gather") {
        const table = inputs[0]!
        const widened = wide.get(table) ?? inFloat32(g, table)
        wide.set(table, widened) // policy and reference look up the same
        inputs[0] = widened
      }
      const made = node.op === "ConstantOfShape" ? [zeros(g, inputs[0]!, node)] : g.emitAll(node.op, inputs, node.attributes).slice()
      if (node.op === "SimplifiedLayerNormalization" && used.has(node.outputs[1]!)) made[1] = inverseRms(g, inputs[0]!, node)
      node.outputs.forEach((y, i) => values.set(y, made[i]!))
    })
  }
  for (const { name, value } of from.outputs) g.output(name, of(value))
  return g
}

/** A node made of weights alone is computed once, on the CPU. */
const inFloat32 = (g: Graph, table: Value): Value =>
  table.dtype === "float16" || table.dtype === "bfloat16" ? g.emit("Cast", [table], { to: 1 }) : table

const zeros = (g: Graph, shape: Value, { attributes }: Node): Value => g.emit("Expand", [g.scalar(0), shape], attributes)

/** 1 / sqrt(mean(x²) + epsilon) over the last axis: [..., 1]. */
const inverseRms = (g: Graph, x: Value, { attributes }: Node): Value => {
  const last = x.shape.length - 1
  const mean = g.scale(g.sum(g.mul(x, x), [last], true), 1 / Number(x.shape[last]))
  return g.div(g.scalar(1), g.emit("Sqrt", [g.add(mean, g.scalar(Number(attributes["epsilon"])))]))
}
