/**
 * BLIP (Li et al. 2022, arXiv:2201.12086) that gives one score, as in ImageReward (Xu et al. 2023, arXiv:2304.05977): a
 * vision transformer, a BERT (Devlin et al. 2018, arXiv:1810.04805) whose layers attend to the picture between
 * attention and feed-forward, and a head of linear layers on its first token. Parameter names are those of
 * `ImageReward.pt`.
 *
 * The picture is most of the work and does not depend on the text: `encodePictures` and `scoreTexts` may be two graphs,
 * run once a picture and once a pair.
 */
import {
  affine,
  attention,
  blocks,
  embedPatches,
  feedForward,
  norm,
  patchesAcross,
  rowOf,
  type TowerConfig,
  type VisionConfig,
  withClassToken
} from "./encoder.ts"
import { type Graph, joined, type Value } from "../graph/graph.ts"
import { thirdOf, thirds } from "./packed.ts"
import type { Get, WeightIndex } from "../weights/parameters.ts"
import type { TensorEntry } from "../weights/safetensors.ts"

export interface BlipConfig {
  readonly vision: VisionConfig
  readonly text: TowerConfig & {
    readonly vocab: number
    /** Rows of the table of positions. */
    readonly maxPositions: number
  }
  /** Outputs of each layer of the head; the last is 1. */
  readonly head: ReadonlyArray<number>
  /** Mean of the raw scores of the authors' validation pictures: a score is (raw - mean) / std. */
  readonly mean: number
  readonly std: number
}

/** Places of the head's linear layers in the authors' `Sequential`; between the first four are dropouts. */
export const headLayers = [0, 2, 4, 6, 7] as const

const visual = "blip.visual_encoder"
const textual = "blip.text_encoder"

/** The checkpoint's tensors, with its packed projections also as `attn.q`, `attn.k` and `attn.v`. */
export const unpackBlip = (index: WeightIndex): WeightIndex => {
  const unpacked = new Map<string, TensorEntry & { readonly file: string }>(index)
  for (const [name, entry] of index) {
    const [, block, part] = /^(blip\.visual_encoder\.blocks\.\d+\.attn)\.qkv\.(weight|bias)$/.exec(name) ?? []
    if (block === undefined) continue
    for (const [letter, third] of Object.entries(thirds)) unpacked.set(`${block}.${letter}.${part}`, thirdOf(entry, third))
  }
  return unpacked
}

/** Class token and patches. */
const tokensOf = (c: BlipConfig): number => patchesAcross(c.vision) ** 2 + 1

/**
 * @param pixels [item, 3, imageSize, imageSize] float32, normalised (channel, row, column)
 * @returns [item, 1 + patches, vision.hidden]
 */
export const encodePictures = (g: Graph, get: Get, c: BlipConfig, pixels: Value): Value => {
  const { hidden } = c.vision
  const item = pixels.shape[0]!
  const time = tokensOf(c)
  const patches = embedPatches(g, get, c.vision, `${visual}.patch_embed.proj`, true, pixels)
  const token = g.reshape(get(`${visual}.cls_token`, [1, 1, hidden]), [hidden])
  const places = get(`${visual}.pos_embed`, [1, time, hidden])
  const x = g.reshape(g.add(withClassToken(g, token, patches), places), [joined(item, time), hidden])
  const names = {
    block: (i: number) => `${visual}.blocks.${i}`,
    norms: ["norm1", "norm2"],
    attention: ["attn.q", "attn.k", "attn.v", "attn.proj"],
    mlp: ["mlp.fc1", "mlp.fc2"]
  } as const
  const y = norm(g, get, c.vision, `${visual}.norm`, blocks(g, get, c.vision, names, x, item, time))
  return g.reshape(y, [item, time, hidden])
}

/**
 * Scores of text n with picture n.
 *
 * @param ids [item, time] int64, time <= maxPositions, right-padded
 * @param mask [item, time] float32: 1 for a token, 0 for padding
 * @param pictures [item, 1 + patches, vision.hidden] of `encodePictures`
 * @returns [item, 1]
 */
export const scoreTexts = (g: Graph, get: Get, c: BlipConfig, ids: Value, mask: Value, pictures: Value): Value => {
  const { heads, hidden, maxPositions, vocab } = c.text
  const item = ids.shape[0]!
  const time = Number(ids.shape[1])
  const at = (name: string) => `${textual}.${name}`
  // Not -infinity: the authors' -10000 leaves a padded place e^-10000 of the attention, which is 0 in float32 too.
  const hide = g.unsqueeze(g.scale(g.sub(g.scalar(1), mask), -10_000), [1, 2])
  const seen = g.reshape(pictures, [joined(item, tokensOf(c)), c.vision.hidden])

  const split = (y: Value, rows: number) => g.transpose(g.reshape(y, [item, rows, heads, hidden / heads]), [0, 2, 1, 3])
  /** LayerNorm(x + attention over `from`), [item * time, hidden]; `rows` of `from` belong to each item. */
  const attend = (name: string, x: Value, from: Value, rows: number, mask?: Value): Value => {
    const q = split(affine(g, get, `${name}.self.query`, x, hidden), time)
    const [k, v] = ["key", "value"].map((part) => split(affine(g, get, `${name}.self.${part}`, from, hidden), rows))
    const mixed = g.reshape(g.transpose(attention(g, q, k!, v!, mask), [0, 2, 1, 3]), [joined(item, time), hidden])
    return norm(g, get, c.text, `${name}.output.LayerNorm`, g.add(affine(g, get, `${name}.output.dense`, mixed, hidden), x))
  }

  const words = g.emit("Gather", [get(at("embeddings.word_embeddings.weight"), [vocab, hidden]), ids])
  const places = g.slice(get(at("embeddings.position_embeddings.weight"), [maxPositions, hidden]), 0, 0, time)
  let x = norm(g, get, c.text, at("embeddings.LayerNorm"), g.reshape(g.add(words, places), [joined(item, time), hidden]))
  for (let i = 0; i < c.text.layers; i++) {
    const layer = at(`encoder.layer.${i}`)
    const read = attend(`${layer}.attention`, x, x, time, hide)
    const looked = attend(`${layer}.crossattention`, read, seen, tokensOf(c))
    const made = feedForward(g, get, c.text, [`${layer}.intermediate.dense`, `${layer}.output.dense`], looked)
    x = norm(g, get, c.text, `${layer}.output.LayerNorm`, g.add(made, looked))
  }
  const raw = c.head.reduce((y, width, i) => affine(g, get, `mlp.layers.${headLayers[i]}`, y, width), rowOf(g, x, item, time, 0))
  return g.scale(g.sub(raw, g.scalar(c.mean)), 1 / c.std)
}
