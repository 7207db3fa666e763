/**
 * What the scorers' encoders have in common: a picture cut into patches, and pre-norm transformer blocks (Vaswani et
 * al. 2017, arXiv:1706.03762; Dosovitskiy et al. 2020, arXiv:2010.11929). The families differ in their parameter names,
 * the activation, and whether the blocks are scaled (LayerScale, Touvron et al. 2021, arXiv:2103.17239).
 */
import { activate, type Activation } from "./activations.ts"
import { type Graph, joined, type Shape, type Value } from "../graph/graph.ts"
import type { Get } from "../weights/parameters.ts"

/** The activations that the encoders' config.json files name. */
export const activations = ["quick_gelu", "gelu", "gelu_pytorch_tanh"] as const satisfies ReadonlyArray<Activation>

export interface TowerConfig {
  readonly hidden: number
  /** Width within the feed-forward half, after the gate if there is one. */
  readonly intermediate: number
  readonly layers: number
  readonly heads: number
  readonly normEpsilon: number
  /** `swiglu`: the first layer is twice as wide, and SiLU of its first half gates the second (arXiv:2002.05202). */
  readonly activation: (typeof activations)[number] | "swiglu"
}

export interface VisionConfig extends TowerConfig {
  /** Pixels of a side. */
  readonly imageSize: number
  /** Pixels of a patch's side. */
  readonly patchSize: number
}

/** Names of a block's parameters in the checkpoint. */
export interface BlockNames {
  /** Prefix of block i. */
  readonly block: (i: number) => string
  readonly norms: readonly [beforeAttention: string, beforeMlp: string]
  readonly attention: readonly [q: string, k: string, v: string, out: string]
  readonly mlp: readonly [up: string, down: string]
  /** LayerScale: factors [hidden] of each half's output. */
  readonly scales?: readonly [attention: string, mlp: string]
}

/** As CLIP and SigLIP name them. */
export const clipBlocks = (tower: string): BlockNames => ({
  block: (i) => `${tower}.encoder.layers.${i}`,
  norms: ["layer_norm1", "layer_norm2"],
  attention: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"],
  mlp: ["mlp.fc1", "mlp.fc2"]
})

/** x [rows, in] times a weight [out, in] transposed, plus a bias [out]. */
export const affine = (g: Graph, get: Get, name: string, x: Value, out: number): Value =>
  g.add(
    g.emit("Gemm", [x, get(`${name}.weight`, [out, Number(x.shape[1])])], { transB: 1 }),
    get(`${name}.bias`, [out])
  )

/** LayerNorm over the last axis. */
export const norm = (g: Graph, get: Get, c: TowerConfig, name: string, x: Value): Value =>
  g.emit("LayerNormalization", [x, get(`${name}.weight`, [c.hidden]), get(`${name}.bias`, [c.hidden])], {
    axis: -1,
    epsilon: c.normEpsilon
  })

const activated = (g: Graph, kind: TowerConfig["activation"], x: Value): Value => {
  if (kind !== "swiglu") return activate(g, kind, x)
  const width = Number(x.shape[1]) / 2
  return g.mul(activate(g, "silu", g.slice(x, 1, 0, width)), g.slice(x, 1, width, 2 * width))
}

/** The feed-forward layer: x [rows, hidden] to [rows, hidden]. */
export const feedForward = (g: Graph, get: Get, c: TowerConfig, names: readonly [up: string, down: string], x: Value): Value => {
  const up = affine(g, get, names[0], x, c.activation === "swiglu" ? 2 * c.intermediate : c.intermediate)
  return affine(g, get, names[1], activated(g, c.activation, up), c.hidden)
}

/** softmax(q kᵀ / √width) v of [item, heads, time, width]; `mask` is added to the scores [item, heads, queries, keys]. */
export const attention = (g: Graph, q: Value, k: Value, v: Value, mask?: Value): Value => {
  const scores = g.matmul(g.scale(q, Number(q.shape[3]) ** -0.5), g.transpose(k, [0, 1, 3, 2]))
  return g.matmul(g.emit("Softmax", [mask === undefined ? scores : g.add(scores, mask)]), v)
}

/** x [item * time, hidden] through all blocks; `mask` broadcasts to the attention scores [item, heads, time, time]. */
export const blocks = (
  g: Graph,
  get: Get,
  c: TowerConfig,
  names: BlockNames,
  x: Value,
  item: Shape[0],
  time: number,
  mask?: Value
): Value => {
  const heads = (y: Value) => g.transpose(g.reshape(y, [item!, time, c.heads, c.hidden / c.heads]), [0, 2, 1, 3])
  for (let i = 0; i < c.layers; i++) {
    const at = (name: string) => `${names.block(i)}.${name}`
    const scaled = (half: 0 | 1, y: Value) => names.scales === undefined ? y : g.mul(y, get(at(names.scales[half]), [c.hidden]))
    const [query, key, value, out] = names.attention
    const h = norm(g, get, c, at(names.norms[0]), x)
    const [q, k, v] = [query, key, value].map((name) => heads(affine(g, get, at(name), h, c.hidden))) as [Value, Value, Value]
    const mixed = g.reshape(g.transpose(attention(g, q, k, v, mask), [0, 2, 1, 3]), [joined(item, time), c.hidden])
    x = g.add(x, scaled(0, affine(g, get, at(out), mixed, c.hidden)))
    const [up, down] = names.mlp
    x = g.add(x, scaled(1, feedForward(g, get, c, [at(up), at(down)], norm(g, get, c, at(names.norms[1]), x))))
  }
  return x
}

/** Patches along a side. Pixels of an incomplete last patch are left out, as in a convolution without padding. */
export const patchesAcross = ({ imageSize, patchSize }: VisionConfig): number => Math.floor(imageSize / patchSize)

/**
 * The convolution that embeds patches; its stride is its kernel's side.
 *
 * @param pixels [item, 3, imageSize, imageSize]
 * @param name of the module; its weight is [hidden, 3, patchSize, patchSize]
 * @returns [item, patches, hidden], row by row from the top left
 */
export const embedPatches = (g: Graph, get: Get, c: VisionConfig, name: string, bias: boolean, pixels: Value): Value => {
  const { hidden, imageSize, patchSize: p } = c
  const side = patchesAcross(c)
  const item = pixels.shape[0]!
  const used = side * p
  const whole = used === imageSize ? pixels : g.slice(g.slice(pixels, 2, 0, used), 3, 0, used)
  const cut = g.transpose(g.reshape(whole, [item, 3, side, p, side, p]), [0, 2, 4, 1, 3, 5])
  const kernel = g.reshape(get(`${name}.weight`, [hidden, 3, p, p]), [hidden, 3 * p * p])
  const flat = g.emit("Gemm", [g.reshape(cut, [joined(item, side * side), 3 * p * p]), kernel], { transB: 1 })
  return g.reshape(bias ? g.add(flat, get(`${name}.bias`, [hidden])) : flat, [item, side * side, hidden])
}

/** The class token before the patches: [item, patches, hidden] to [item, 1 + patches, hidden]. */
export const withClassToken = (g: Graph, token: Value, patches: Value): Value =>
  // One row for each image, however many there are: a patch times zero, plus the class embedding.
  g.concat([g.add(g.scale(g.slice(patches, 1, 0, 1), 0), token), patches], 1)

/** Row `at` of each item: [item * time, hidden] to [item, hidden]. */
export const rowOf = (g: Graph, x: Value, item: Shape[0], time: number, at: number): Value => {
  const hidden = x.shape[1]!
  return g.reshape(g.slice(g.reshape(x, [item!, time, hidden]), 1, at, at + 1), [item!, hidden])
}

/** Rows scaled to length 1. */
export const unit = (g: Graph, x: Value): Value => g.div(x, g.emit("Sqrt", [g.sum(g.mul(x, x), [1], true)]))
