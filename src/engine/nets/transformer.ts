/**
 * Decoder-only transformers of the Llama, Qwen and Gemma families as graphs: RMSNorm, rotary positions, grouped-query
 * attention, gated feed-forward layers, tied or untied embeddings, and what each family changes (`traits`). The module
 * names are those of the checkpoint, so the same names serve files, adapters and gradients.
 *
 * Four graphs use the same block: `forward` (training and scoring: whole sequences, no cache), and in decoding.ts
 * `prefill` (prompts; keys and values are kept), `decode` and `verify` (one token a row, or some; the cache is read).
 */
import { activate, type Activation } from "./activations.ts"
import type { Graph, Shape, Value } from "../graph/graph.ts"
import { parameterSource, type ParameterSource, type Weights } from "../weights/parameters.ts"
import { vocabularyLogps, vocabularySlice } from "./vocabulary.ts"

/** By their names in config.json. */
export const families = ["qwen3", "qwen2", "llama", "gemma3_text"] as const

/** What a family has and Llama does not. */
interface Traits {
  /** The gate's activation: SwiGLU or GeGLU (Shazeer 2020, arXiv:2002.05202). */
  readonly activation: Activation
  /** RMSNorm of each head's query and key. */
  readonly qkNorm?: true
  /** Biases of the query, key and value projections. */
  readonly qkvBias?: true
  /** Norms multiply by 1 + weight. */
  readonly normsFromOne?: true
  /** The outputs of attention and of the feed-forward layer each go through their own norm. */
  readonly postNorms?: true
  /** Input embeddings are multiplied by √hidden, rounded to float32; output embeddings are used as stored. */
  readonly scaledEmbeddings?: true
}

export const traits: Readonly<Record<DecoderConfig["family"], Traits>> = {
  llama: { activation: "silu" },
  qwen2: { activation: "silu", qkvBias: true },
  qwen3: { activation: "silu", qkNorm: true },
  gemma3_text: {
    activation: "gelu_pytorch_tanh",
    qkNorm: true,
    normsFromOne: true,
    postNorms: true,
    scaledEmbeddings: true
  }
}

export interface DecoderConfig {
  readonly family: (typeof families)[number]
  readonly vocab: number
  readonly hidden: number
  readonly intermediate: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** Attention scores are divided by its root: headDim, if config.json has no query_pre_attn_scalar. */
  readonly queryScalar: number
  readonly normEpsilon: number
  readonly ropeTheta: number
  /** Llama 3's stretch of the low frequencies, if config.json has it. */
  readonly ropeScaling: RopeScaling | undefined
  /** Undefined: every layer sees everything before. */
  readonly sliding: SlidingLayers | undefined
  readonly tied: boolean
  /** Longest sequence the model was made for, tokens. */
  readonly maxPositions: number
}

/** Layers that look back less far, with their own rotary positions (Gemma Team 2025, arXiv:2503.19786, sec. 2). */
export interface SlidingLayers {
  /** Which layers do. */
  readonly layers: ReadonlyArray<boolean>
  /** Tokens a query sees, ending with itself. */
  readonly window: number
  readonly ropeTheta: number
}

export interface RopeScaling {
  readonly factor: number
  readonly lowFreqFactor: number
  readonly highFreqFactor: number
  readonly originalMaxPositions: number
}

/** The matrices of a block, by the last part of their module names: PEFT's "all-linear". */
export const allLinear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const

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
  const { postNorms, qkNorm, qkvBias } = traits[c.family]
  for (const { in: width, module, out } of modulesOf(c)) {
    shapes.set(`${module}.weight`, [out, width])
    if (qkvBias && /[qkv]_proj$/.test(module)) shapes.set(`${module}.bias`, [out])
  }
  for (let i = 0; i < c.layers; i++) {
    const at = `model.layers.${i}`
    shapes.set(`${at}.input_layernorm.weight`, [c.hidden])
    shapes.set(`${at}.post_attention_layernorm.weight`, [c.hidden])
    if (postNorms) {
      shapes.set(`${at}.pre_feedforward_layernorm.weight`, [c.hidden])
      shapes.set(`${at}.post_feedforward_layernorm.weight`, [c.hidden])
    }
    if (qkNorm) {
      shapes.set(`${at}.self_attn.q_norm.weight`, [c.headDim])
      shapes.set(`${at}.self_attn.k_norm.weight`, [c.headDim])
    }
  }
  shapes.set("model.norm.weight", [c.hidden])
  if (!c.tied) shapes.set("lm_head.weight", [c.vocab, c.hidden])
  return shapes
}

/** Radians a position of each pair of channels, [headDim / 2] (Su et al. 2021, arXiv:2104.09864), stretched as Llama 3 does. */
export const rotaryFrequencies = (headDim: number, theta: number, s: RopeScaling | undefined): Array<number> => {
  const half = headDim / 2
  return Array.from({ length: half }, (_, i) => {
    const frequency = theta ** (-i / half)
    if (s === undefined) return frequency
    const wavelength = 2 * Math.PI / frequency
    if (wavelength < s.originalMaxPositions / s.highFreqFactor) return frequency
    if (wavelength > s.originalMaxPositions / s.lowFreqFactor) return frequency / s.factor
    const smooth = (s.originalMaxPositions / wavelength - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor)
    return (1 - smooth) * frequency / s.factor + smooth * frequency
  })
}

/** Angles of rotary positions: cos and sin, each [positions, headDim / 2]. */
const rotaryTables = (
  headDim: number,
  theta: number,
  s: RopeScaling | undefined,
  positions: number
): { cos: Array<number>; sin: Array<number> } => {
  const frequencies = rotaryFrequencies(headDim, theta, s)
  const angles = Array.from({ length: positions }, (_, t) => frequencies.map((f) => t * f)).flat()
  return { cos: angles.map(Math.cos), sin: angles.map(Math.sin) }
}

/** @param scale factor of the result */
const norm = (g: Graph, p: ParameterSource, c: DecoderConfig, name: string, x: Value, width: number, scale = 1): Value => {
  const weight = p.get(`${name}.weight`, [width])
  const factor = traits[c.family].normsFromOne ? g.add(weight, g.scalar(1)) : weight
  return g.emit("SimplifiedLayerNormalization", [x, g.scale(factor, scale)], { axis: -1, epsilon: c.normEpsilon })
}

/** The sequence positions of a call's rows, and the tables that turn them into angles. */
interface Rows {
  /** [batch, time] int64 */
  readonly positions: Value
  /** The same axes as a run-time shape, [2] int64. */
  readonly batchTime: Value
  /** cos and sin of a layer. */
  readonly angles: (layer: number) => readonly [cos: Value, sin: Value]
  /** Set if tokens are packed without padding everywhere but in the attention: see `forward`. */
  readonly packing?: Packing
  /** Whether time is 1: then order by position and head is also order by head and position. */
  readonly single?: boolean
}

interface Packing {
  readonly pad: Value
  readonly unpad: Value
  readonly real: Value
}

/** One value for the layers that see everything before them, another for the sliding ones, if there are any. */
export const byLayer = <A>(c: DecoderConfig, full: A, sliding: (s: SlidingLayers) => A): (layer: number) => A => {
  if (c.sliding === undefined) return () => full
  const { layers } = c.sliding
  const other = sliding(c.sliding)
  return (layer) => (layers[layer] ? other : full)
}

export const rowsOf = (g: Graph, c: DecoderConfig, positions: Value, length: number): Rows => {
  const shape = [length, c.headDim / 2]
  const tables = (theta: number, scaling: RopeScaling | undefined) => {
    const { cos, sin } = rotaryTables(c.headDim, theta, scaling, length)
    return [g.constant(cos, shape), g.constant(sin, shape)] as const
  }
  const angles = byLayer(c, tables(c.ropeTheta, c.ropeScaling), (s) => tables(s.ropeTheta, undefined))
  return { positions, batchTime: g.within("attention", () => g.emit("Shape", [positions])), angles }
}

/**
 * As `rowsOf`, but positions may be of any size: their angles are computed in the graph, one row of cos and sin for each
 * token of the call.
 */
export const rowsOfAny = (g: Graph, c: DecoderConfig, positions: Value): Rows => {
  const flat = g.emit("Cast", [g.reshape(positions, ["batch_time", 1])], { to: 1 })
  const count = g.squeeze(g.slice(g.emit("Shape", [flat]), 0, 0, 1), [0])
  const places = g.emit("Range", [g.ints([0], []), count, g.ints([1], [])], { to: "batch_time" })
  const tables = (theta: number, scaling: RopeScaling | undefined) => {
    const angles = g.mul(flat, g.constant(rotaryFrequencies(c.headDim, theta, scaling), [1, c.headDim / 2]))
    return [g.emit("Cos", [angles]), g.emit("Sin", [angles])] as const
  }
  const angles = byLayer(c, tables(c.ropeTheta, c.ropeScaling), (s) => tables(s.ropeTheta, undefined))
  return { positions: g.reshapeTo(places, positions.shape), batchTime: g.emit("Shape", [positions]), angles }
}

/** [batch_time or packed, count * D] to [batch, time, count, D], or to [batch, count, 1, D] if time is 1. */
const splitHeads = (g: Graph, c: DecoderConfig, rows: Rows, x: Value, count: number): Value => {
  if (rows.single) return g.reshape(x, [rows.positions.shape[0]!, count, 1, c.headDim])
  const padded = rows.packing ? g.emit("Rearrange", [x, rows.packing.pad, rows.packing.unpad]) : x
  return g.emit("Reshape", [padded, g.concat([rows.batchTime, g.ints([count, c.headDim])], 0)], {
    to: [...rows.positions.shape, count, c.headDim].join()
  })
}

export interface Projections {
  /** [batch, kvHeads, group_time, D], scaled by 1/√queryScalar and rotated. */
  readonly q: Value
  /** [batch, kvHeads, time, D], rotated. */
  readonly k: Value
  /** [batch, kvHeads, time, D] */
  readonly v: Value
}

const project = (g: Graph, p: ParameterSource, c: DecoderConfig, rows: Rows, layer: number, x: Value): Projections => {
  const at = `model.layers.${layer}.self_attn`
  const { qkNorm, qkvBias = false } = traits[c.family]
  const side = (name: "q" | "k" | "v", count: number): Value => {
    const split = splitHeads(g, c, rows, p.linear(`${at}.${name}_proj`, x, count * c.headDim, qkvBias), count)
    const byHead = (y: Value) => (rows.single ? y : g.transpose(y, [0, 2, 1, 3]))
    if (name === "v") return byHead(split)
    // Scaled here, not at the product: onnxruntime would fuse it there into a slow kernel.
    const scale = name === "q" ? 1 / Math.sqrt(c.queryScalar) : 1
    const scaled = qkNorm ? norm(g, p, c, `${at}.${name}_norm`, split, c.headDim, scale) : g.scale(split, scale)
    return g.emit("RotaryEmbedding", [byHead(scaled), rows.positions, ...rows.angles(layer)])
  }
  // Query heads that share a key head become rows of one product: no key is repeated, and its gradient sums without
  // extra work.
  return {
    q: g.reshape(side("q", c.heads), [rows.positions.shape[0]!, c.kvHeads, "group_time", c.headDim]),
    k: side("k", c.kvHeads),
    v: side("v", c.kvHeads)
  }
}

/** [batch, kvHeads, group_time, D] back to [batch_time or packed, heads * D]. */
const mergeHeads = (g: Graph, c: DecoderConfig, rows: Rows, x: Value): Value => {
  if (rows.single) return g.reshape(x, [rows.positions.shape[0]!, c.heads * c.headDim])
  const [batch, time] = rows.positions.shape
  const split = g.reshape(x, [batch!, c.heads, time!, c.headDim])
  const merged = g.reshape(g.transpose(split, [0, 2, 1, 3]), ["batch_time", c.heads * c.headDim])
  const { packing } = rows
  return packing ? g.emit("Rearrange", [merged, packing.unpad, packing.pad, packing.real]) : merged
}

const feedForward = (g: Graph, p: ParameterSource, c: DecoderConfig, at: string, x: Value): Value => {
  const gate = activate(g, traits[c.family].activation, p.linear(`${at}.gate_proj`, x, c.intermediate))
  return p.linear(`${at}.down_proj`, g.mul(gate, p.linear(`${at}.up_proj`, x, c.intermediate)), c.hidden)
}

/**
 * All layers over tokens [batch, time], [packed] or [row]. `attend` turns a layer's projections into its context,
 * [batch, kv, group_time, D].
 *
 * @returns x [batch_time or packed, hidden], normalised; `stream`: the input of each layer and the output of the last,
 * in that shape
 */
export const blocks = (
  g: Graph,
  p: ParameterSource,
  c: DecoderConfig,
  rows: Rows,
  ids: Value,
  attend: (layer: number, projections: Projections) => Value
): { readonly x: Value; readonly stream: ReadonlyArray<Value> } => {
  const { postNorms, scaledEmbeddings } = traits[c.family]
  const stream: Array<Value> = []
  const first = g.within("embedding", () => {
    const rowsOfTable = p.rows("model.embed_tokens.weight", [c.vocab, c.hidden], ids)
    const embedded = ids.shape.length === 1 ? rowsOfTable : g.reshape(rowsOfTable, ["batch_time", c.hidden])
    return scaledEmbeddings ? g.scale(embedded, Math.sqrt(c.hidden)) : embedded
  })
  const layer = (i: number, x: Value): Value => {
    const at = `model.layers.${i}`
    const normed = (name: string, y: Value) => norm(g, p, c, `${at}.${name}_layernorm`, y, c.hidden)
    const input = normed("input", x)
    const context = g.within("attention", () => mergeHeads(g, c, rows, attend(i, project(g, p, c, rows, i, input))))
    const attended = p.linear(`${at}.self_attn.o_proj`, context, c.hidden)
    // With post-norms, "post_attention" is one of them; otherwise the name is that of the feed-forward layer's input
    // norm.
    const between = g.add(x, postNorms ? normed("post_attention", attended) : attended)
    const fed = feedForward(g, p, c, `${at}.mlp`, normed(postNorms ? "pre_feedforward" : "post_attention", between))
    return g.add(between, postNorms ? normed("post_feedforward", fed) : fed)
  }
  return g.within("norms", () => {
    let x = first
    for (let i = 0; i < c.layers; i++) {
      stream.push(x)
      x = layer(i, x)
    }
    stream.push(x)
    return { x: norm(g, p, c, "model.norm", x, c.hidden), stream }
  })
}

/** The table that turns x into logits. */
export const unembeddingName = (c: DecoderConfig): string => (c.tied ? "model.embed_tokens.weight" : "lm_head.weight")

/** The input with a layer's mask: `name`, or `sliding_name` for a layer that looks back less far. */
export const maskInputs = (g: Graph, c: DecoderConfig, name: string, shape: Shape): (layer: number) => Value =>
  byLayer(c, g.input(name, "float32", shape), () => g.input(`sliding_${name}`, "float32", shape))

/** Attention within the sequences of the call themselves: keys and values of the same positions. */
export const withinCall = (g: Graph, mask: Value) => ({ k, q, v }: Projections): Value => {
  const scores = g.matmul(q, g.transpose(k, [0, 1, 3, 2]))
  return g.matmul(g.emit("Softmax", [g.add(scores, mask)]), v)
}

export interface Forward {
  readonly logps: Value
  readonly stream: ReadonlyArray<Value>
  /** [token]: log Σ p² over the vocabulary, nats, without derivative; undefined unless it was asked for. */
  readonly concentrations: Value | undefined
}

/**
 * Per-token log-probabilities of whole sequences, for training and scoring. Tokens are packed, one sequence after the
 * other without padding, everywhere but in the attention, which has a right-padded row for each sequence.
 *
 * Inputs: `ids` [packed] int64; `pad` [batch_time] int64, which token each place of the rows holds (any, if it is
 * padding); `unpad` [packed] int64, the place (row * time + t) of each token; `real` [batch_time, 1] float32, 0 for
 * padding, else 1; `positions` [batch, time] int64; `mask` [1, 1, heads / kvHeads * time, time] float32, 0 where a
 * query may look and -1e9 elsewhere (`causalMask`); with sliding layers also `sliding_mask`, theirs; `rows` [token]
 * int64, which packed tokens predict; `targets` [token] int64, what they should have predicted.
 *
 * @param length longest `time` that will be fed
 * @param derivative whether the log-probabilities will be differentiated
 * @param concentrated whether `concentrations` are wanted
 * @returns logps [token], nats; and the input of each layer and the output of the last, [packed, hidden]
 */
export const forward = (g: Graph, c: DecoderConfig, weights: Weights, length: number, derivative: boolean, concentrated = false): Forward => {
  const p = parameterSource(g, weights)
  const ids = g.input("ids", "int64", ["packed"])
  const positions = g.input("positions", "int64", ["batch", "time"])
  const mask = maskInputs(g, c, "mask", [1, 1, "group_time", "time"])
  const packing = {
    pad: g.input("pad", "int64", ["batch_time"]),
    unpad: g.input("unpad", "int64", ["packed"]),
    real: g.input("real", "float32", ["batch_time", 1])
  }
  const rows = { ...rowsOf(g, c, positions, length), packing }
  const { stream, x } = blocks(g, p, c, rows, ids, (layer, projections) => withinCall(g, mask(layer))(projections))
  // Only positions that predict a trained token are multiplied with the vocabulary: prompts cost no logits.
  return g.within("head", () => {
    const predicting = g.emit("Gather", [x, g.input("rows", "int64", ["token"])])
    const targets = g.input("targets", "int64", ["token"])
    return { ...predictions(g, p, c, weights, predicting, targets, derivative, concentrated), stream }
  })
}

/** A trained table needs the derivative of every logit. */
const predictions = (
  g: Graph,
  p: ParameterSource,
  c: DecoderConfig,
  { trainable }: Weights,
  x: Value,
  targets: Value,
  derivative: boolean,
  concentrated: boolean
): Omit<Forward, "stream"> => {
  if (trainable === "none") {
    const [name, shape] = [unembeddingName(c), [c.vocab, c.hidden]] as const
    return vocabularyLogps(g, x, p.slices(name, shape, vocabularySlice), p.rows(name, shape, targets), derivative, concentrated)
  }
  const logps = g.emit("LogSoftmax", [p.times(unembeddingName(c), x, c.vocab)])
  const squares = (): Value => g.sum(g.emit("Exp", [g.scale(g.emit("Cast", [logps], { to: 1 }), 2)]), [1])
  return {
    logps: g.squeeze(g.emit("GatherElements", [logps, g.unsqueeze(targets, [1])], { axis: 1 }), [1]),
    concentrations: concentrated ? g.emit("Log", [squares()]) : undefined
  }
}

/** [1, 1, groups * time, time], row-major: 0 on the diagonal and the `window` - 1 places before it, -1e9 elsewhere. */
export const causalMask = (groups: number, time: number, window = time): Float32Array => {
  const mask = new Float32Array(groups * time * time).fill(-1e9)
  for (let row = 0; row < groups * time; row++) {
    const t = row % time
    mask.fill(0, row * time + Math.max(0, t + 1 - window), row * time + t + 1)
  }
  return mask
}
