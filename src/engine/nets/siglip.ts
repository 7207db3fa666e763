/**
 * SigLIP (Zhai et al. 2023, arXiv:2303.15343) and SigLIP 2 (Tschannen et al. 2025, arXiv:2502.14786) in one fixed
 * resolution, as graphs. Parameter names are those of a Hugging Face `SiglipModel`.
 *
 * Unlike in CLIP, texts are read without a mask: padding is text, and every text must have the length that the model
 * was trained on. Pictures are pooled by an attention layer whose single query is learnt.
 */
import {
  affine,
  attention,
  blocks,
  clipBlocks,
  embedPatches,
  feedForward,
  norm,
  patchesAcross,
  rowOf,
  type TowerConfig,
  unit,
  type VisionConfig
} from "./encoder.ts"
import { type Graph, joined, type Shape, type Value } from "../graph/graph.ts"
import type { Get } from "../weights/parameters.ts"

export interface SiglipConfig {
  readonly text: TowerConfig & {
    readonly vocab: number
    /** Tokens of a text, padding included. */
    readonly maxPositions: number
    /** Width of an embedding, and of the vision tower's rows. */
    readonly projection: number
  }
  readonly vision: VisionConfig
}

/**
 * @param ids [text, maxPositions] int64, padded at the end as in training
 * @returns [text, projection], length 1
 */
export const encodeTexts = (g: Graph, get: Get, { text: c }: SiglipConfig, ids: Value): Value => {
  const words = g.emit("Gather", [get("text_model.embeddings.token_embedding.weight", [c.vocab, c.hidden]), ids])
  const places = get("text_model.embeddings.position_embedding.weight", [c.maxPositions, c.hidden])
  const item = ids.shape[0]!
  const x = g.reshape(g.add(words, places), [joined(item, c.maxPositions), c.hidden])
  const y = blocks(g, get, c, clipBlocks("text_model"), x, item, c.maxPositions)
  const last = rowOf(g, norm(g, get, c, "text_model.final_layer_norm", y), item, c.maxPositions, c.maxPositions - 1)
  return unit(g, affine(g, get, "text_model.head", last, c.projection))
}

/** The pooling layer of the vision tower: x [item * time, hidden] to [item, hidden]. */
const pool = (g: Graph, get: Get, c: VisionConfig, x: Value, item: Shape[0], time: number): Value => {
  const { heads, hidden } = c
  const width = hidden / heads
  const at = "vision_model.head"
  // One matrix for queries, keys and values, as torch.nn.MultiheadAttention stores them.
  const weight = get(`${at}.attention.in_proj_weight`, [3 * hidden, hidden])
  const bias = get(`${at}.attention.in_proj_bias`, [3 * hidden])
  const part = (n: number, y: Value) =>
    g.add(
      g.emit("Gemm", [y, g.slice(weight, 0, n * hidden, (n + 1) * hidden)], { transB: 1 }),
      g.slice(bias, 0, n * hidden, (n + 1) * hidden)
    )
  const probe = g.reshape(get(`${at}.probe`, [1, 1, hidden]), [1, hidden])
  const query = g.reshape(part(0, probe), [1, heads, 1, width])
  const split = (y: Value) => g.transpose(g.reshape(y, [item!, time, heads, width]), [0, 2, 1, 3])
  const mixed = g.reshape(attention(g, query, split(part(1, x)), split(part(2, x))), [item!, hidden])
  const out = affine(g, get, `${at}.attention.out_proj`, mixed, hidden)
  return g.add(out, feedForward(g, get, c, [`${at}.mlp.fc1`, `${at}.mlp.fc2`], norm(g, get, c, `${at}.layernorm`, out)))
}

/**
 * @param pixels [image, 3, imageSize, imageSize] float32, normalised (channel, row, column)
 * @returns [image, hidden], length 1
 */
export const encodeImages = (g: Graph, get: Get, { vision: c }: SiglipConfig, pixels: Value): Value => {
  const item = pixels.shape[0]!
  const time = patchesAcross(c) ** 2
  const patches = embedPatches(g, get, c, "vision_model.embeddings.patch_embedding", true, pixels)
  const places = get("vision_model.embeddings.position_embedding.weight", [time, c.hidden])
  const x = g.reshape(g.add(patches, places), [joined(item, time), c.hidden])
  const y = norm(g, get, c, "vision_model.post_layernorm", blocks(g, get, c, clipBlocks("vision_model"), x, item, time))
  return unit(g, pool(g, get, c, y, item, time))
}
