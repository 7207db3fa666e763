/**
 * Decoder-only transformers of the Qwen3 and Llama families as graphs: RMSNorm, rotary positions, grouped-query
 * attention, QK-norm where the family has it, SwiGLU, tied or untied embeddings. The module names are those of the
 * checkpoint, so the same names serve files, adapters and gradients.
 *
 * Three graphs are made of one block: `forward` (training and scoring: whole sequences, no cache), `prefill` (prompts,
 * keys and values kept) and `decode` (one token a row, cache read).
 */
import type { Graph, Value } from "./graph.ts"
import { parameterSource, type LoraConfig, type ParameterSource, type WeightIndex } from "./parameters.ts"
import { vocabularyLogps, vocabularySlice } from "./vocabulary.ts"

export interface DecoderConfig {
  readonly family: "qwen3" | "llama"
  readonly vocab: number
  readonly hidden: number
  readonly intermediate: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly normEpsilon: number
  readonly ropeTheta: number
  /** Llama 3's stretch of the low frequencies, where config.json has it. */
  readonly ropeScaling: RopeScaling | undefined
  readonly tied: boolean
  /** Longest sequence the model was made for, tokens. */
  readonly maxPositions: number
}

export interface RopeScaling {
  readonly factor: number
  readonly lowFreqFactor: number
  readonly highFreqFactor: number
  readonly originalMaxPositions: number
}

/** The matrices of a block, by the last part of their module names: PEFT's "all-linear". */
export const allLinear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const

/** What a graph reads its parameters from. */
export interface Weights {
  readonly index: WeightIndex
  readonly trainable: "none" | "all"
  readonly lora: LoraConfig | undefined
}

export const modulesOf = (c: DecoderConfig): Array<{ module: string; out: number; in: number }> =>
  Array.from({ length: c.layers }, (_, i) => {
    const at = `model.layers.${i}`
    return [
      { module: `${at}.self_attn.q_proj`, out: c.heads * c.headDim, in: c.hidden },
      { module: `${at}.self_attn.k_proj`, out: c.kvHeads * c.headDim, in: c.hidden },
      { module: `${at}.self_attn.v_proj`, out: c.kvHeads * c.headDim, in: c.hidden },
      { module: `${at}.self_attn.o_proj`, out: c.hidden, in: c.heads * c.headDim },
      { module: `${at}.mlp.gate_proj`, out: c.intermediate, in: c.hidden },
      { module: `${at}.mlp.up_proj`, out: c.intermediate, in: c.hidden },
      { module: `${at}.mlp.down_proj`, out: c.hidden, in: c.intermediate }
    ]
  }).flat()

/** Every parameter of a checkpoint of this config, by name. */
export const parameterShapes = (c: DecoderConfig): Map<string, ReadonlyArray<number>> => {
  const shapes = new Map<string, ReadonlyArray<number>>([["model.embed_tokens.weight", [c.vocab, c.hidden]]])
  for (const { in: width, module, out } of modulesOf(c)) shapes.set(`${module}.weight`, [out, width])
  for (let i = 0; i < c.layers; i++) {
    const at = `model.layers.${i}`
    shapes.set(`${at}.input_layernorm.weight`, [c.hidden])
    shapes.set(`${at}.post_attention_layernorm.weight`, [c.hidden])
    if (c.family === "qwen3") {
      shapes.set(`${at}.self_attn.q_norm.weight`, [c.headDim])
      shapes.set(`${at}.self_attn.k_norm.weight`, [c.headDim])
    }
  }
  shapes.set("model.norm.weight", [c.hidden])
  if (!c.tied) shapes.set("lm_head.weight", [c.vocab, c.hidden])
  return shapes
}

/** Angles of rotary positions: cos and sin, each [positions, headDim / 2] (Su et al. 2021, arXiv:2104.09864). */
export const rotaryTables = (c: DecoderConfig, positions: number): { cos: Array<number>; sin: Array<number> } => {
  const half = c.headDim / 2
  const frequencies = Array.from({ length: half }, (_, i) => {
    const frequency = c.ropeTheta ** (-i / half)
    const s = c.ropeScaling
    if (s === undefined) return frequency
    const wavelength = 2 * Math.PI / frequency
    if (wavelength < s.originalMaxPositions / s.highFreqFactor) return frequency
    if (wavelength > s.originalMaxPositions / s.lowFreqFactor) return frequency / s.factor
    const smooth = (s.originalMaxPositions / wavelength - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor)
    return (1 - smooth) * frequency / s.factor + smooth * frequency
  })
  const angles = Array.from({ length: positions }, (_, t) => frequencies.map((f) => t * f)).flat()
  return { cos: angles.map(Math.cos), sin: angles.map(Math.sin) }
}

const norm = (g: Graph, p: ParameterSource, c: DecoderConfig, name: string, x: Value, width: number): Value =>
  g.emit("SimplifiedLayerNormalization", [x, p.get(`${name}.weight`, [width])], { axis: -1, epsilon: c.normEpsilon })

/** Which sequence positions the rows of a call hold, and the tables that turn them into angles. */
interface Rows {
  /** [batch, time] int64 */
  readonly positions: Value
  /** The same axes as a run-time shape, [2] int64. */
  readonly batchTime: Value
  readonly cos: Value
  readonly sin: Value
  /** Where tokens are packed without padding but for the attention: see `forward`. */
  readonly packing?: Packing
}

interface Packing {
  readonly pad: Value
  readonly unpad: Value
  readonly real: Value
}

const rowsOf = (g: Graph, c: DecoderConfig, positions: Value, length: number): Rows => {
  const { cos, sin } = rotaryTables(c, length)
  const shape = [length, c.headDim / 2]
  return {
    positions,
    batchTime: g.emit("Shape", [positions]),
    cos: g.constant(cos, shape),
    sin: g.constant(sin, shape)
  }
}

/** [batch_time or packed, count * D] to [batch, time, count, D]. */
const splitHeads = (g: Graph, c: DecoderConfig, rows: Rows, x: Value, count: number): Value => {
  const padded = rows.packing ? g.emit("Rearrange", [x, rows.packing.pad, rows.packing.unpad]) : x
  return g.emit("Reshape", [padded, g.concat([rows.batchTime, g.ints([count, c.headDim])], 0)], {
    to: [...rows.positions.shape, count, c.headDim].join()
  })
}

interface Projections {
  /** [batch, kvHeads, group_time, D], scaled by 1/√D and rotated. */
  readonly q: Value
  /** [batch, kvHeads, time, D], rotated. */
  readonly k: Value
  /** [batch, kvHeads, time, D] */
  readonly v: Value
}

const project = (g: Graph, p: ParameterSource, c: DecoderConfig, rows: Rows, at: string, x: Value): Projections => {
  const side = (name: "q" | "k" | "v", count: number): Value => {
    const split = splitHeads(g, c, rows, p.linear(`${at}.${name}_proj`, x, count * c.headDim), count)
    if (name === "v") return g.transpose(split, [0, 2, 1, 3])
    const normed = c.family === "qwen3" ? norm(g, p, c, `${at}.${name}_norm`, split, c.headDim) : split
    // Scaled here, not at the product: onnxruntime would fuse it there into a slow kernel.
    const scaled = name === "q" ? g.scale(normed, 1 / Math.sqrt(c.headDim)) : normed
    const turned = g.transpose(scaled, [0, 2, 1, 3])
    return g.emit("RotaryEmbedding", [turned, rows.positions, rows.cos, rows.sin])
  }
  // Query heads that share a key head become rows of one product: no key is repeated, and its gradient sums by itself.
  return {
    q: g.reshape(side("q", c.heads), [rows.positions.shape[0]!, c.kvHeads, "group_time", c.headDim]),
    k: side("k", c.kvHeads),
    v: side("v", c.kvHeads)
  }
}

/** [batch, kvHeads, group_time, D] back to [batch_time or packed, heads * D]. */
const mergeHeads = (g: Graph, c: DecoderConfig, rows: Rows, x: Value): Value => {
  const [batch, time] = rows.positions.shape
  const split = g.reshape(x, [batch!, c.heads, time!, c.headDim])
  const merged = g.reshape(g.transpose(split, [0, 2, 1, 3]), ["batch_time", c.heads * c.headDim])
  const { packing } = rows
  return packing ? g.emit("Rearrange", [merged, packing.unpad, packing.pad, packing.real]) : merged
}

const feedForward = (g: Graph, p: ParameterSource, c: DecoderConfig, at: string, x: Value): Value => {
  const gate = p.linear(`${at}.gate_proj`, x, c.intermediate)
  const swish = g.mul(gate, g.emit("Sigmoid", [gate]))
  return p.linear(`${at}.down_proj`, g.mul(swish, p.linear(`${at}.up_proj`, x, c.intermediate)), c.hidden)
}

/**
 * All layers over tokens [batch, time] or [packed]; `attend` turns a layer's projections into its context, [batch, kv, group_time, D].
 *
 * @returns x [batch_time or packed, hidden], normalised; `stream`: what enters each layer and leaves the last, in that shape
 */
const blocks = (
  g: Graph,
  p: ParameterSource,
  c: DecoderConfig,
  rows: Rows,
  ids: Value,
  attend: (layer: number, projections: Projections) => Value
): { readonly x: Value; readonly stream: ReadonlyArray<Value> } => {
  const stream: Array<Value> = []
  const embedded = p.rows("model.embed_tokens.weight", [c.vocab, c.hidden], ids)
  let x = ids.shape.length === 1 ? embedded : g.reshape(embedded, ["batch_time", c.hidden])
  for (let i = 0; i < c.layers; i++) {
    stream.push(x)
    const at = `model.layers.${i}`
    const normed = norm(g, p, c, `${at}.input_layernorm`, x, c.hidden)
    const context = attend(i, project(g, p, c, rows, `${at}.self_attn`, normed))
    x = g.add(x, p.linear(`${at}.self_attn.o_proj`, mergeHeads(g, c, rows, context), c.hidden))
    const inner = norm(g, p, c, `${at}.post_attention_layernorm`, x, c.hidden)
    x = g.add(x, feedForward(g, p, c, `${at}.mlp`, inner))
  }
  stream.push(x)
  return { x: norm(g, p, c, "model.norm", x, c.hidden), stream }
}

const unembeddingName = (c: DecoderConfig): string => (c.tied ? "model.embed_tokens.weight" : "lm_head.weight")
const unembedding = (p: ParameterSource, c: DecoderConfig): Value => p.get(unembeddingName(c), [c.vocab, c.hidden])

/** Attention within the sequences of the call themselves: keys and values of the same positions. */
const withinCall = (g: Graph, mask: Value) => ({ k, q, v }: Projections): Value => {
  const scores = g.matmul(q, g.transpose(k, [0, 1, 3, 2]))
  return g.matmul(g.emit("Softmax", [g.add(scores, mask)]), v)
}

export interface Forward {
  readonly logps: Value
  readonly stream: ReadonlyArray<Value>
}

/**
 * Per-token log-probabilities of whole sequences, for training and scoring. Tokens are packed, one sequence after the
 * other without padding, everywhere but in the attention, which has a right-padded row for each sequence.
 *
 * Inputs: `ids` [packed] int64; `pad` [batch_time] int64, which of them each place of the rows holds (any, where it is
 * padding), `unpad` [packed] int64, the place (row * time + t) of each, and `real` [batch_time, 1] float32, 0 for padding
 * and 1 else; `positions` [batch, time] int64; `mask` [1, 1, heads / kvHeads * time, time] float32, 0 where a query may
 * look and -1e9 where not (`causalMask`); `rows` [token] int64, which packed tokens predict; `targets` [token] int64,
 * what they should have predicted.
 *
 * @param length longest `time` that will be fed
 * @param derivative whether the log-probabilities will be differentiated
 * @returns logps [token], nats; and what enters each layer and leaves the last, [packed, hidden]
 */
export const forward = (g: Graph, c: DecoderConfig, weights: Weights, length: number, derivative: boolean): Forward => {
  const p = parameterSource(g, weights.index, weights.trainable, weights.lora)
  const ids = g.input("ids", "int64", ["packed"])
  const positions = g.input("positions", "int64", ["batch", "time"])
  const mask = g.input("mask", "float32", [1, 1, "group_time", "time"])
  const packing = {
    pad: g.input("pad", "int64", ["batch_time"]),
    unpad: g.input("unpad", "int64", ["packed"]),
    real: g.input("real", "float32", ["batch_time", 1])
  }
  const rows = { ...rowsOf(g, c, positions, length), packing }
  const { stream, x } = blocks(g, p, c, rows, ids, (_layer, projections) => withinCall(g, mask)(projections))
  // Only the positions that predict a trained token meet the vocabulary: prompts cost no logits.
  const predicting = g.emit("Gather", [x, g.input("rows", "int64", ["token"])])
  const targets = g.input("targets", "int64", ["token"])
  return { logps: logpsOf(g, p, c, weights, predicting, targets, derivative), stream }
}

/** A table that is trained needs the derivative of every logit. */
const logpsOf = (
  g: Graph,
  p: ParameterSource,
  c: DecoderConfig,
  { trainable }: Weights,
  x: Value,
  targets: Value,
  derivative: boolean
): Value => {
  if (trainable === "none") {
    const [name, shape] = [unembeddingName(c), [c.vocab, c.hidden]] as const
    return vocabularyLogps(g, x, p.slices(name, shape, vocabularySlice), p.rows(name, shape, targets), derivative)
  }
  const logps = g.emit("LogSoftmax", [g.emit("Gemm", [x, unembedding(p, c)], { transB: 1 })])
  return g.squeeze(g.emit("GatherElements", [logps, g.unsqueeze(targets, [1])], { axis: 1 }), [1])
}

/** [1, 1, groups * time, time], row-major: 0 on and under the diagonal, -1e9 above. */
export const causalMask = (groups: number, time: number): Float32Array => {
  const mask = new Float32Array(groups * time * time)
  for (let row = 0; row < groups * time; row++) mask.fill(-1e9, row * time + (row % time) + 1, (row + 1) * time)
  return mask
}

/**
 * Prompts, read once. Inputs: `ids`, `positions` [batch, time] and `mask` as in `forward`; `last` [batch] int64, the
 * flat index of each prompt's last token.
 * Outputs: `logits` [batch, vocab] after that token; `keys` [layers * batch, kvHeads, D, time] and `values`
 * [layers * batch, kvHeads, time, D], layer by layer.
 */
export const prefill = (g: Graph, c: DecoderConfig, weights: Weights, length: number): void => {
  const p = parameterSource(g, weights.index, weights.trainable, weights.lora)
  const ids = g.input("ids", "int64", ["batch", "time"])
  const mask = g.input("mask", "float32", [1, 1, "group_time", "time"])
  const rows = rowsOf(g, c, g.input("positions", "int64", ["batch", "time"]), length)
  const keys: Array<Value> = []
  const values: Array<Value> = []
  const { x } = blocks(g, p, c, rows, ids, (_layer, projections) => {
    keys.push(g.transpose(projections.k, [0, 1, 3, 2]))
    values.push(projections.v)
    return withinCall(g, mask)(projections)
  })
  const last = g.emit("Gather", [x, g.input("last", "int64", ["batch"])])
  g.output("logits", g.emit("Gemm", [last, unembedding(p, c)], { transB: 1 }))
  g.output("keys", g.concat(keys, 0))
  g.output("values", g.concat(values, 0))
}

/**
 * One more token for each of R = N * K rows, K candidates of N prompts, row n * K + c. The K candidates of a prompt read
 * the same prompt cache: their queries become rows of one product.
 *
 * Inputs: `ids`, `positions` [row, 1] int64; `grouping` [5] int64 = (N, K, kvHeads, heads / kvHeads, P) and `joining`
 * [4] = (R, kvHeads, heads / kvHeads, P), the run-time shapes that need two unknown lengths; `prompt_mask`
 * [N, 1, 1, P] and `past_mask` [1, 1, 1, S], 0 or -1e9; `lengths` [2] int64 = (P, P + S); and for each layer i
 * `prompt_k.i` [N, kvHeads, D, P], `prompt_v.i` [N, kvHeads, P, D], `past_k.i` [R, kvHeads, D, S],
 * `past_v.i` [R, kvHeads, S, D].
 * Outputs: `logits` [row, vocab]; `keys` and `values` [layers * R, kvHeads, 1, D]: the new token's, for the caller to
 * put into its cache.
 */
export const decode = (g: Graph, c: DecoderConfig, weights: Weights, length: number): void => {
  const p = parameterSource(g, weights.index, weights.trainable, weights.lora)
  const groups = c.heads / c.kvHeads
  const ids = g.input("ids", "int64", ["row", 1])
  const rows = rowsOf(g, c, g.input("positions", "int64", ["row", 1]), length)
  const promptMask = g.input("prompt_mask", "float32", ["prompt", 1, 1, "P"])
  const pastMask = g.input("past_mask", "float32", [1, 1, 1, "S"])
  const grouping = g.input("grouping", "int64", [5])
  const joining = g.input("joining", "int64", [4])
  const lengths = g.input("lengths", "int64", [2])
  const first = g.slice(grouping, 0, 0, 4)
  const grouped = g.concat([first, g.ints([c.headDim])], 0)
  const flat = g.concat([g.slice(joining, 0, 0, 3), g.ints([c.headDim])], 0)
  const zero = g.ints([0])
  const last = g.ints([-1])
  const promptEnd = g.slice(lengths, 0, 0, 1)
  const pastEnd = g.slice(lengths, 0, 1, 2)
  const cut = (x: Value, from: Value, to: Value, name: string) =>
    g.emit("Slice", [x, from, to, last], { axis: 3, to: ["row", c.kvHeads, groups, name].join() })
  /** [row, kv, group, X] to [prompt, kv, candidate_group, X], and back. */
  const byPrompt = (x: Value, shape: Value, name: number | string) => {
    const split = g.emit("Reshape", [x, shape], { to: ["prompt", "candidate", c.kvHeads, groups, name].join() })
    const target = g.concat([g.ints([0, c.kvHeads, -1]), g.slice(shape, 0, 4, 5)], 0)
    return g.emit("Reshape", [g.transpose(split, [0, 2, 1, 3, 4]), target], {
      to: ["prompt", c.kvHeads, "candidate_group", name].join()
    })
  }
  const byRow = (x: Value, split: Value, joined: Value, name: number | string) => {
    const parts = g.emit("Reshape", [x, g.concat([
      g.slice(split, 0, 0, 1),
      g.slice(split, 0, 2, 3),
      g.slice(split, 0, 1, 2),
      g.slice(split, 0, 3, 5)
    ], 0)], { to: ["prompt", c.kvHeads, "candidate", groups, name].join() })
    return g.emit("Reshape", [g.transpose(parts, [0, 2, 1, 3, 4]), joined], {
      to: ["row", c.kvHeads, groups, name].join()
    })
  }
  const keys: Array<Value> = []
  const values: Array<Value> = []
  const { x } = blocks(g, p, c, rows, ids, (i, { k, q, v }) => {
    keys.push(k)
    values.push(v)
    const row = g.reshape(q, ["row", c.kvHeads, groups, c.headDim])
    const promptK = g.input(`prompt_k.${i}`, "float32", ["prompt", c.kvHeads, c.headDim, "P"])
    const promptV = g.input(`prompt_v.${i}`, "float32", ["prompt", c.kvHeads, "P", c.headDim])
    const pastK = g.input(`past_k.${i}`, "float32", ["row", c.kvHeads, c.headDim, "S"])
    const pastV = g.input(`past_v.${i}`, "float32", ["row", c.kvHeads, "S", c.headDim])
    const toPrompt = g.add(g.matmul(byPrompt(row, grouped, c.headDim), promptK), promptMask)
    const toPast = g.add(g.matmul(row, pastK), pastMask)
    const toSelf = g.matmul(row, g.transpose(k, [0, 1, 3, 2]))
    const shares = g.emit("Softmax", [g.concat([byRow(toPrompt, grouping, joining, "P"), toPast, toSelf], 3)])
    const ofPrompt = g.matmul(byPrompt(cut(shares, zero, promptEnd, "P"), grouping, "P"), promptV)
    const ofPast = g.matmul(cut(shares, promptEnd, pastEnd, "S"), pastV)
    const ofSelf = g.matmul(cut(shares, pastEnd, g.ints([2 ** 31]), "1"), v)
    return g.add(g.add(byRow(ofPrompt, grouped, flat, c.headDim), ofPast), ofSelf)
  })
  g.output("logits", g.emit("Gemm", [x, unembedding(p, c)], { transB: 1 }))
  g.output("keys", g.concat(keys, 0))
  g.output("values", g.concat(values, 0))
}
