/**
 * CLIP (Radford et al. 2021, arXiv:2103.00020) as graphs: a text and a vision transformer with pre-norm blocks, one
 * space of embeddings. Parameter names are those of a Hugging Face `CLIPModel`.
 *
 * Texts are fed at one fixed length, right-padded: attention is causal and the embedding is read at the end-of-text
 * token, so padding behind it changes nothing.
 */
import {
  blocks,
  clipBlocks,
  embedPatches,
  norm,
  patchesAcross,
  rowOf,
  type TowerConfig,
  unit,
  type VisionConfig,
  withClassToken
} from "./encoder.ts"
import { type Graph, joined, type Value } from "../graph/graph.ts"
import { type Get, parametersOf } from "../weights/parameters.ts"
import { causalMask } from "./transformer.ts"

export interface ClipConfig {
  readonly text: TowerConfig & {
    readonly vocab: number
    /** Most tokens of a text, the end-of-text token included. */
    readonly maxPositions: number
    readonly eosTokenId: number
  }
  readonly vision: VisionConfig
  readonly projection: number
}

/** Every parameter of a checkpoint of this config, by name. */
export const clipShapes = (c: ClipConfig): Map<string, ReadonlyArray<number>> =>
  parametersOf((g, get) => {
    get("logit_scale", [])
    encodeTexts(g, get, c, g.input("ids", "int64", ["text", c.text.maxPositions]), g.input("ends", "int64", ["text"]))
    encodeImages(g, get, c, g.input("pixels", "float32", ["image", 3, c.vision.imageSize, c.vision.imageSize]))
  })

/**
 * @param ids [text, maxPositions] int64, right-padded
 * @param ends [text] int64: row * maxPositions + place of the end-of-text token
 * @returns [text, projection], length 1
 */
export const encodeTexts = (g: Graph, get: Get, c: ClipConfig, ids: Value, ends: Value): Value => {
  const { hidden, maxPositions: time, vocab } = c.text
  const words = g.emit("Gather", [get("text_model.embeddings.token_embedding.weight", [vocab, hidden]), ids])
  const places = get("text_model.embeddings.position_embedding.weight", [time, hidden])
  const item = ids.shape[0]!
  const x = g.reshape(g.add(words, places), [joined(item, time), hidden])
  const mask = g.constant(Array.from(causalMask(1, time)), [time, time])
  const y = blocks(g, get, c.text, clipBlocks("text_model"), x, item, time, mask)
  const pooled = g.emit("Gather", [norm(g, get, c.text, "text_model.final_layer_norm", y), ends])
  return unit(g, g.emit("Gemm", [pooled, get("text_projection.weight", [c.projection, hidden])], { transB: 1 }))
}

/**
 * @param pixels [image, 3, imageSize, imageSize] float32, normalised (channel, row, column)
 * @returns [image, projection], length 1
 */
export const encodeImages = (g: Graph, get: Get, c: ClipConfig, pixels: Value): Value => {
  const { hidden } = c.vision
  const item = pixels.shape[0]!
  const time = patchesAcross(c.vision) ** 2 + 1
  const patches = embedPatches(g, get, c.vision, "vision_model.embeddings.patch_embedding", false, pixels)
  const all = withClassToken(g, get("vision_model.embeddings.class_embedding", [hidden]), patches)
  const places = get("vision_model.embeddings.position_embedding.weight", [time, hidden])
  const x = norm(g, get, c.vision, "vision_model.pre_layrnorm", g.reshape(g.add(all, places), [joined(item, time), hidden]))
  const y = blocks(g, get, c.vision, clipBlocks("vision_model"), x, item, time)
  const pooled = norm(g, get, c.vision, "vision_model.post_layernorm", rowOf(g, y, item, time, 0))
  return unit(g, g.emit("Gemm", [pooled, get("visual_projection.weight", [c.projection, hidden])], { transB: 1 }))
}

/** Mean of -log softmax(logits)[i, i] over the rows of [n, m >= n]. */
const diagonalLoss = (g: Graph, logits: Value): Value => {
  const n = Number(logits.shape[0])
  const own = g.ints(Array.from({ length: n }, (_, i) => i), [n, 1])
  const picked = g.emit("GatherElements", [g.emit("LogSoftmax", [logits]), own], { axis: 1 })
  return g.scale(g.sum(picked, [0, 1]), -1 / n)
}

export interface ContrastiveOptions {
  /** Number of texts and images that belong together, row by row. */
  readonly pairs: number
  /** Weight of -log σ(own image - flawed image) and of -log σ(own text - wrong text), 0 for plain CLIP. */
  readonly margin: number
  /**
   * [pairs, columns] each, added to the logits of text over image and of image over text: a large negative number where
   * a column that is not the row's own matches it too, 0 elsewhere. Without it such a match counts as wrong.
   */
  readonly alsoRight?: { readonly images: Value; readonly texts: Value }
}

/**
 * The contrastive loss of CLIP, the mean of both directions, with hard negatives after the first `pairs` rows: row
 * `pairs + i` of the images is a flawed drawing of text i, row `pairs + i` of the texts a wrong caption of image i.
 * They join the softmax of the other direction, and each is also compared with its own right one in a pairwise logistic
 * term (ours).
 *
 * @param texts [pairs or 2 * pairs, projection]
 * @param images [pairs or 2 * pairs, projection]
 * @param logScale [] the log of the temperature's inverse
 */
export const contrastiveLoss = (
  g: Graph,
  texts: Value,
  images: Value,
  logScale: Value,
  { alsoRight, margin, pairs: n }: ContrastiveOptions
): Value => {
  const scale = g.emit("Exp", [logScale])
  const rows = (x: Value, from: number) => g.slice(x, 0, from, from + n)
  const logits = (a: Value, b: Value, without: Value | undefined) => {
    const all = g.mul(g.matmul(a, g.transpose(b, [1, 0])), scale)
    return without === undefined ? all : g.add(all, without)
  }
  const text = rows(texts, 0)
  const image = rows(images, 0)
  const loss = g.scale(
    g.add(diagonalLoss(g, logits(text, images, alsoRight?.images)), diagonalLoss(g, logits(image, texts, alsoRight?.texts))),
    0.5
  )
  const against = (right: Value, wrong: Value, anchor: Value) => {
    const gap = g.mul(g.sum(g.mul(anchor, g.sub(right, wrong)), [1]), scale)
    return g.scale(g.sum(g.emit("Softplus", [g.neg(gap)]), [0]), margin / n)
  }
  const withImages = Number(images.shape[0]) > n && margin > 0 ? g.add(loss, against(image, rows(images, n), text)) : loss
  return Number(texts.shape[0]) > n && margin > 0 ? g.add(withImages, against(text, rows(texts, n), image)) : withImages
}

/**
 * Where each text ends, in the form `encodeTexts` wants. transformers reads the embedding at the first end-of-text
 * token or, if the config still has the id 2 of old checkpoints, at the highest id.
 */
export const textEnd = (ids: ReadonlyArray<number>, eosTokenId: number): number =>
  eosTokenId === 2 ? ids.indexOf(Math.max(...ids)) : Math.max(0, ids.indexOf(eosTokenId))
