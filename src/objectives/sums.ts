import type { Graph, Value } from "../engine/graph/graph.ts"
import { wrongShape } from "../engine/graph/shape-error.ts"

/**
 * Sums of `logps` [token] by sequence. `segments` [token] int64 says which sequence each token belongs to; `zeros`
 * [sequence] gives the number of sequences.
 */
export const sumBySequence = (g: Graph, logps: Value, segments: Value, zeros: Value): Value => {
  if (logps.shape.join() !== segments.shape.join()) wrongShape(`logps [${logps.shape}], segments [${segments.shape}]`)
  return g.emit("ScatterElements", [zeros, segments, logps], { axis: 0, reduction: "add" })
}

/** The same float32 value; no derivative flows through it. */
export const detached = (g: Graph, x: Value): Value => g.emit("Cast", [x], { to: 1 })
