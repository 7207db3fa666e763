/**
 * DINOv2 (Oquab et al. 2023, arXiv:2304.07193) as a graph: a vision transformer with LayerScale, in the giant size with a
 * SwiGLU feed-forward half. Parameter names are those of a Hugging Face `Dinov2Model`.
 */
import {
  type BlockNames,
  blocks,
  embedPatches,
  norm,
  patchesAcross,
  rowOf,
  unit,
  type VisionConfig,
  withClassToken
} from "./encoder.ts"
import { type Graph, joined, type Value } from "../graph/graph.ts"
import type { Get } from "../weights/parameters.ts"

const namesOf = ({ activation }: VisionConfig): BlockNames => ({
  block: (i) => `encoder.layer.${i}`,
  norms: ["norm1", "norm2"],
  attention: ["attention.attention.query", "attention.attention.key", "attention.attention.value", "attention.output.dense"],
  mlp: activation === "swiglu" ? ["mlp.weights_in", "mlp.weights_out"] : ["mlp.fc1", "mlp.fc2"],
  scales: ["layer_scale1.lambda1", "layer_scale2.lambda1"]
})

/**
 * The matrix that turns `from` samples in a row into `to`: [to, from], Keys' bicubic kernel with a = -3/4 between pixel
 * centres, the border repeated, no antialiasing. It equals torch's `interpolate(mode="bicubic", align_corners=False)`.
 */
export const bicubicMatrix = (from: number, to: number): Array<number> => {
  const a = -0.75
  const near = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1
  const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
  const matrix = Array.from({ length: to * from }, () => 0)
  for (let i = 0; i < to; i++) {
    const place = (i + 0.5) * (from / to) - 0.5
    const first = Math.floor(place)
    const t = place - first
    for (const [k, weight] of [far(t + 1), near(t), near(1 - t), far(2 - t)].entries()) {
      matrix[i * from + Math.min(from - 1, Math.max(0, first - 1 + k))]! += weight
    }
  }
  return matrix
}

/** Position embeddings [1, 1 + patches, hidden] of the checkpoint, resized to `side` patches across. */
const places = (g: Graph, get: Get, c: VisionConfig, side: number): Value => {
  const known = patchesAcross(c)
  const all = get("embeddings.position_embeddings", [1, known ** 2 + 1, c.hidden])
  if (known === side) return all
  const matrix = g.constant(bicubicMatrix(known, side), [side, known])
  const grid = g.reshape(g.slice(all, 1, 1, known ** 2 + 1), [known, known * c.hidden])
  const rows = g.reshape(g.matmul(matrix, grid), [side, known, c.hidden])
  return g.concat([g.slice(all, 1, 0, 1), g.reshape(g.matmul(matrix, rows), [1, side * side, c.hidden])], 1)
}

/**
 * @param c its `imageSize` is the size of the position embeddings; pictures of another size get interpolated ones
 * @param pixels [image, 3, side, side] float32, normalised (channel, row, column)
 * @returns [image, hidden]: the class token after the last norm, length 1
 */
export const encodeImages = (g: Graph, get: Get, c: VisionConfig, pixels: Value): Value => {
  const item = pixels.shape[0]!
  const seen = { ...c, imageSize: Number(pixels.shape[2]) }
  const side = patchesAcross(seen)
  const time = side * side + 1
  const patches = embedPatches(g, get, seen, "embeddings.patch_embeddings.projection", true, pixels)
  const all = withClassToken(g, get("embeddings.cls_token", [1, 1, c.hidden]), patches)
  const x = g.reshape(g.add(all, places(g, get, c, side)), [joined(item, time), c.hidden])
  const y = blocks(g, get, c, namesOf(c), x, item, time)
  return unit(g, norm(g, get, c, "layernorm", rowOf(g, y, item, time, 0)))
}
