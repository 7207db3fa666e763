/** Activations, by their names in config.json files. */
import type { Graph, Value } from "../graph/graph.ts"

export type Activation = "silu" | "quick_gelu" | "gelu" | "gelu_pytorch_tanh"

/** `gelu_pytorch_tanh` is Hendrycks and Gimpel's approximation (arXiv:1606.08415), `silu` x σ(x), `quick_gelu` x σ(1.702 x). */
export const activate = (g: Graph, kind: Activation, x: Value): Value => {
  switch (kind) {
    case "silu":
      return g.mul(x, g.emit("Sigmoid", [x]))
    case "quick_gelu":
      return g.mul(x, g.emit("Sigmoid", [g.scale(x, 1.702)]))
    case "gelu":
      return g.mul(g.scale(x, 0.5), g.add(g.scalar(1), g.emit("Erf", [g.scale(x, Math.SQRT1_2)])))
    case "gelu_pytorch_tanh": {
      const inner = g.add(x, g.scale(g.mul(x, g.mul(x, x)), 0.044715))
      return g.mul(g.scale(x, 0.5), g.add(g.scalar(1), g.emit("Tanh", [g.scale(inner, Math.sqrt(2 / Math.PI))])))
    }
  }
}
