/**
 * CLIP (Radford et al. 2021, arXiv:2103.00020) as graphs: a text and a vision transformer with pre-norm blocks, one
 * space of embeddings. Parameter names are those of a Hugging Face `CLIPModel`.
 *
 * Texts are fed at one fixed length, right-padded: attention is causal and the embedding is read at the end-of-text
 * token, so padding behind it changes nothing.
 */
import type { Graph, Shape, Value } from "./graph.ts"
import { causalMask } from "./transformer.ts"

export interface TowerConfig {
  readonly hidden: number
  readonly intermediate: number
  readonly layers: number
  readonly heads: number
  readonly normEpsilon: number
  readonly activation: "quick_gelu" | "gelu"
}

export interface ClipConfig {
  readonly text: TowerConfig & {
    readonly vocab: number
    /** Tokens a text may have, the end-of-text token included. */
    readonly maxPositions: number
    readonly eosTokenId: number
  }
  readonly vision: TowerConfig & {
    /** Pixels of a side. */
    readonly imageSize: number
    /** Pixels of a patch's side. */
    readonly patchSize: number
  }
  readonly projection: number
}

/** Looks a parameter up by its checkpoint name. */
export type Get = (name: string, shape: ReadonlyArray<number>) => Value

const patchesOf = ({ imageSize, patchSize }: ClipConfig["vision"]): number => (imageSize / patchSize) ** 2

/** Every parameter of a checkpoint of this config, by name. */
export const clipShapes = (c: ClipConfig): Map<string, ReadonlyArray<number>> => {
  const shapes = new Map<string, ReadonlyArray<number>>([["logit_scale", []]])
  const affine = (name: string, out: number, width?: number) => {
    shapes.set(`${name}.weight`, width === undefined ? [out] : [out, width])
    shapes.set(`${name}.bias`, [out])
  }
  const tower = (at: string, { hidden, intermediate, layers }: TowerConfig) => {
    for (let i = 0; i < layers; i++) {
      const layer = `${at}.encoder.layers.${i}`
      for (const name of ["q_proj", "k_proj", "v_proj", "out_proj"]) affine(`${layer}.self_attn.${name}`, hidden, hidden)
      affine(`${layer}.layer_norm1`, hidden)
      affine(`${layer}.layer_norm2`, hidden)
      affine(`${layer}.mlp.fc1`, intermediate, hidden)
      affine(`${layer}.mlp.fc2`, hidden, intermediate)
    }
  }
  const { text, vision } = c
  shapes.set("text_model.embeddings.token_embedding.weight", [text.vocab, text.hidden])
  shapes.set("text_model.embeddings.position_embedding.weight", [text.maxPositions, text.hidden])
  tower("text_model", text)
  affine("text_model.final_layer_norm", text.hidden)
  shapes.set("text_projection.weight", [c.projection, text.hidden])
  shapes.set("vision_model.embeddings.class_embedding", [vision.hidden])
  shapes.set("vision_model.embeddings.patch_embedding.weight", [vision.hidden, 3, vision.patchSize, vision.patchSize])
  shapes.set("vision_model.embeddings.position_embedding.weight", [patchesOf(vision) + 1, vision.hidden])
  affine("vision_model.pre_layrnorm", vision.hidden)
  tower("vision_model", vision)
  affine("vision_model.post_layernorm", vision.hidden)
  shapes.set("visual_projection.weight", [c.projection, vision.hidden])
  return shapes
}

const affine = (g: Graph, get: Get, name: string, x: Value, out: number): Value =>
  g.add(
    g.emit("Gemm", [x, get(`${name}.weight`, [out, Number(x.shape[1])])], { transB: 1 }),
    get(`${name}.bias`, [out])
  )

const norm = (g: Graph, get: Get, c: TowerConfig, name: string, x: Value): Value =>
  g.emit("LayerNormalization", [x, get(`${name}.weight`, [c.hidden]), get(`${name}.bias`, [c.hidden])], {
    axis: -1,
    epsilon: c.normEpsilon
  })

const activate = (g: Graph, kind: TowerConfig["activation"], x: Value): Value =>
  kind === "quick_gelu"
    ? g.mul(x, g.emit("Sigmoid", [g.scale(x, 1.702)]))
    : g.mul(g.scale(x, 0.5), g.add(g.scalar(1), g.emit("Erf", [g.scale(x, Math.SQRT1_2)])))

/** x [item * time, hidden] through all blocks; `mask` [time, time] is added to the attention scores. */
const blocks = (g: Graph, get: Get, c: TowerConfig, at: string, x: Value, item: Shape[0], time: number, mask?: Value): Value => {
  const width = c.hidden / c.heads
  const heads = (y: Value) => g.transpose(g.reshape(y, [item!, time, c.heads, width]), [0, 2, 1, 3])
  for (let i = 0; i < c.layers; i++) {
    const layer = `${at}.encoder.layers.${i}`
    const h = norm(g, get, c, `${layer}.layer_norm1`, x)
    const [q, k, v] = ["q_proj", "k_proj", "v_proj"].map((name) =>
      heads(affine(g, get, `${layer}.self_attn.${name}`, h, c.hidden))
    ) as [Value, Value, Value]
    const scores = g.matmul(g.scale(q, width ** -0.5), g.transpose(k, [0, 1, 3, 2]))
    const shares = g.emit("Softmax", [mask === undefined ? scores : g.add(scores, mask)])
    const mixed = g.reshape(g.transpose(g.matmul(shares, v), [0, 2, 1, 3]), [`${item}_time`, c.hidden])
    x = g.add(x, affine(g, get, `${layer}.self_attn.out_proj`, mixed, c.hidden))
    const inner = affine(g, get, `${layer}.mlp.fc1`, norm(g, get, c, `${layer}.layer_norm2`, x), c.intermediate)
    x = g.add(x, affine(g, get, `${layer}.mlp.fc2`, activate(g, c.activation, inner), c.hidden))
  }
  return x
}

/** Rows scaled to length 1. */
const unit = (g: Graph, x: Value): Value => g.div(x, g.emit("Sqrt", [g.sum(g.mul(x, x), [1], true)]))

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
  const x = g.reshape(g.add(words, places), [`${item}_time`, hidden])
  const mask = g.constant(Array.from(causalMask(1, time)), [time, time])
  const y = blocks(g, get, c.text, "text_model", x, item, time, mask)
  const pooled = g.emit("Gather", [norm(g, get, c.text, "text_model.final_layer_norm", y), ends])
  return unit(g, g.emit("Gemm", [pooled, get("text_projection.weight", [c.projection, hidden])], { transB: 1 }))
}

/**
 * @param pixels [image, 3, imageSize, imageSize] float32, normalised (channel, row, column)
 * @returns [image, projection], length 1
 */
export const encodeImages = (g: Graph, get: Get, c: ClipConfig, pixels: Value): Value => {
  const { hidden, imageSize, patchSize: p } = c.vision
  const side = imageSize / p
  const item = pixels.shape[0]!
  const cut = g.transpose(g.reshape(pixels, [item, 3, side, p, side, p]), [0, 2, 4, 1, 3, 5])
  const kernel = g.reshape(get("vision_model.embeddings.patch_embedding.weight", [hidden, 3, p, p]), [hidden, 3 * p * p])
  const flat = g.emit("Gemm", [g.reshape(cut, [`${item}_patch`, 3 * p * p]), kernel], { transB: 1 })
  const patches = g.reshape(flat, [item, side * side, hidden])
  // One row an image, whatever their number: a patch times zero, plus the class embedding.
  const summary = g.add(
    g.scale(g.slice(patches, 1, 0, 1), 0),
    get("vision_model.embeddings.class_embedding", [hidden])
  )
  const time = side * side + 1
  const places = get("vision_model.embeddings.position_embedding.weight", [time, hidden])
  const x = g.reshape(g.add(g.concat([summary, patches], 1), places), [`${item}_time`, hidden])
  const y = blocks(g, get, c.vision, "vision_model", norm(g, get, c.vision, "vision_model.pre_layrnorm", x), item, time)
  const first = g.reshape(g.slice(g.reshape(y, [item, time, hidden]), 1, 0, 1), [item, hidden])
  const pooled = norm(g, get, c.vision, "vision_model.post_layernorm", first)
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
  /** Texts and images that belong together, row by row. */
  readonly pairs: number
  /** Weight of -log σ(own image - flawed image) and of -log σ(own text - wrong text), 0 for plain CLIP. */
  readonly margin: number
}

/**
 * The contrastive loss of CLIP, mean of both directions, with hard negatives behind the first `pairs` rows: row
 * `pairs + i` of the images is a flawed drawing of text i, row `pairs + i` of the texts a wrong caption of image i. They
 * join the softmax of the other direction, and each is set against its own right one in a pairwise logistic term (ours).
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
  { margin, pairs: n }: ContrastiveOptions
): Value => {
  const scale = g.emit("Exp", [logScale])
  const rows = (x: Value, from: number) => g.slice(x, 0, from, from + n)
  const logits = (a: Value, b: Value) => g.mul(g.matmul(a, g.transpose(b, [1, 0])), scale)
  const text = rows(texts, 0)
  const image = rows(images, 0)
  const loss = g.scale(
    g.add(diagonalLoss(g, logits(text, images)), diagonalLoss(g, logits(image, texts))),
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
 * Where each text ends, as `encodeTexts` wants it. transformers reads the embedding at the first end-of-text token, or,
 * where the config still has the id 2 of old checkpoints, at the highest id.
 */
export const textEnd = (ids: ReadonlyArray<number>, eosTokenId: number): number =>
  eosTokenId === 2 ? ids.indexOf(Math.max(...ids)) : Math.max(0, ids.indexOf(eosTokenId))

/** RGBA pixels [side, side, 4] to one image's [3, side, side], each channel (x / 255 - mean) / std. */
export const normalisePixels = (
  rgba: Uint8Array,
  mean: ReadonlyArray<number>,
  std: ReadonlyArray<number>,
  into: Float32Array,
  offset: number
): void => {
  const plane = rgba.length / 4
  for (let channel = 0; channel < 3; channel++) {
    const factor = 1 / (255 * std[channel]!)
    const shift = mean[channel]! / std[channel]!
    for (let i = 0; i < plane; i++) into[offset + channel * plane + i] = rgba[i * 4 + channel]! * factor - shift
  }
}
