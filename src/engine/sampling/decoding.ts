/**
 * The graphs that a sampler runs: prompts read once, then one token after the other with a cache of keys and values.
 */
import type { Graph, Value } from "../graph/graph.ts"
import { type ParameterSource, parameterSource, type Weights } from "../weights/parameters.ts"
import { blocks, type DecoderConfig, maskInputs, rowsOf, unembeddingName, withinCall } from "../nets/transformer.ts"

/** What a sampler applies in the graph. */
export interface Filters {
  /** Whether tokens under a share `min_p` of the likeliest one's probability can be left out. */
  readonly minP: boolean
}

/**
 * The next token's scores by row: `logits`; `probabilities`, their softmax; `cooled`, that of logits times
 * `inverse_temperature` [row, 1]; and if there is a filter `likely`, what it leaves of that by `min_p` [row, 1]
 * in [0, 1], for which `floorOf` has the feed.
 */
const outputScores = (g: Graph, p: ParameterSource, c: DecoderConfig, x: Value, row: string, { minP }: Filters): void =>
  g.within("head", () => {
    const logits = p.times(unembeddingName(c), x, c.vocab)
    g.output("logits", logits)
    g.output("probabilities", g.emit("Softmax", [logits]))
    const cooled = g.emit("Softmax", [g.mul(logits, g.input("inverse_temperature", "float32", [row, 1]))])
    g.output("cooled", cooled)
    if (minP) g.output("likely", likely(g, cooled, g.input("min_p", "float32", [row, 1])))
  })

/** The call's keys and values, all layers one after the other. */
const outputCache = (g: Graph, keys: ReadonlyArray<Value>, values: ReadonlyArray<Value>): void =>
  g.within("attention", () => {
    g.output("keys", g.concat(keys, 0))
    g.output("values", g.concat(values, 0))
  })

/** What `min_p` is fed: a hair less, so that what is equal to the floor is over it. */
export const floorOf = (minP: number): number => minP * (1 - 1e-6)

/** Of probabilities [row, vocab] those of at least `minP` [row, 1] of the row's largest, summing to 1; the others are 0. */
const likely = (g: Graph, x: Value, minP: Value): Value => {
  const largest = g.emit("ReduceMax", [x, g.ints([1])], { axes: [1], keepdims: 1 })
  const over = g.emit("Relu", [g.sub(x, g.mul(largest, minP))])
  const kept = g.emit("Where", [g.emit("Cast", [over], { to: 9 }), x, g.scalar(0)])
  return g.div(kept, g.sum(kept, [1], true))
}

/**
 * Prompts, read once. Inputs: `ids`, `positions` [batch, time] and the masks as in `forward`; `last` [batch] int64, the
 * flat index of each prompt's last token; `inverse_temperature` and `min_p` [batch, 1].
 * Outputs: the scores [batch, vocab] after that token (`outputScores`); `keys` and `values`
 * [layers * batch, kvHeads, time, D], layer by layer.
 */
export const prefill = (g: Graph, c: DecoderConfig, weights: Weights, length: number, filters: Filters): void => {
  const p = parameterSource(g, weights)
  const ids = g.input("ids", "int64", ["batch", "time"])
  const mask = maskInputs(g, c, "mask", [1, 1, "group_time", "time"])
  const rows = rowsOf(g, c, g.input("positions", "int64", ["batch", "time"]), length)
  const keys: Array<Value> = []
  const values: Array<Value> = []
  const { x } = blocks(g, p, c, rows, ids, (layer, projections) => {
    keys.push(projections.k)
    values.push(projections.v)
    return withinCall(g, mask(layer))(projections)
  })
  const last = g.within("head", () => g.emit("Gather", [x, g.input("last", "int64", ["batch"])]))
  outputScores(g, p, c, last, "batch", filters)
  outputCache(g, keys, values)
}

/**
 * One more token for each of some sequences. Each has its own cache. With `shared`, sequences that continue the same
 * prompt read that prompt's keys and values together, once for all of them (Juravsky et al. 2024, arXiv:2402.05099, but
 * with one softmax over both parts).
 *
 * Inputs: `ids` [row], `positions` [row, 1] int64; `mask` [row, 1, 1, 1, S], 0 at the places of the cache that a row
 * sees and -1e9 at others, and with sliding layers `sliding_mask`; `inverse_temperature` and `min_p` [row, 1]; and for each layer i
 * `past_k.i` and `past_v.i` [row, kvHeads, 1, S, D]. With `shared` also `slots` [prompt, slot] int64, the rows that
 * continue each prompt (any, where there is none); `places` [row] int64, where each row is among them, flat; `prompt_mask` [row, 1, 1, 1, T], and with
 * sliding layers `sliding_prompt_mask`; and `prompt_k.i`, `prompt_v.i` [prompt, kvHeads, T, D]. Outputs: the scores
 * [row, vocab] (`outputScores`); `keys` and `values` [layers * row, kvHeads, 1, D]: the new token's, for the caller to
 * put into its cache.
 *
 * In a sequence's own cache, each head is a product of a matrix and one vector, which onnxruntime computes directly
 * from the cache. With the query heads that share a key as rows of one product, it would pack the cache again for every
 * token. For a shared prompt with many rows, packing pays.
 */
export const decode = (g: Graph, c: DecoderConfig, weights: Weights, length: number, filters: Filters, shared: boolean): void => {
  const p = parameterSource(g, weights)
  const groups = c.heads / c.kvHeads
  const ids = g.input("ids", "int64", ["row"])
  const rows = { ...rowsOf(g, c, g.input("positions", "int64", ["row", 1]), length), single: true }
  const mask = maskInputs(g, c, "mask", ["row", 1, 1, 1, "S"])
  const promptAttention = shared ? attentionToPrompts(g, c) : undefined
  const cut = (x: Value, from: Value, to: Value, name: number | string) =>
    g.emit("Slice", [x, from, to, g.ints([4])], { axis: 4, to: ["row", c.kvHeads, groups, 1, name].join() })
  const own = g.within("attention", () =>
    g.emit("Slice", [g.emit("Shape", [mask(0)]), g.ints([4]), g.ints([5]), g.ints([0])], { axis: 0, start: 4, end: 5 }))
  const keys: Array<Value> = []
  const values: Array<Value> = []
  const { x } = blocks(g, p, c, rows, ids, (i, { k, q, v }) => {
    keys.push(k)
    values.push(v)
    const pastK = g.input(`past_k.${i}`, "float32", ["row", c.kvHeads, 1, "S", c.headDim])
    const pastV = g.input(`past_v.${i}`, "float32", ["row", c.kvHeads, 1, "S", c.headDim])
    const column = g.reshape(q, ["row", c.kvHeads, groups, c.headDim, 1])
    const toPast = g.add(g.reshape(g.matmul(pastK, column), ["row", c.kvHeads, groups, 1, "S"]), mask(i))
    const toSelf = g.matmul(g.reshape(k, ["row", c.kvHeads, 1, 1, c.headDim]), column)
    const prompts = promptAttention?.(i, q)
    const shares = g.emit("Softmax", [g.concat([toPast, toSelf, ...(prompts === undefined ? [] : [prompts.scores])], 4)])
    const ofPast = g.matmul(cut(shares, g.ints([0]), own, "S"), pastV)
    const self = g.add(own, g.ints([1]))
    const ofSelf = g.mul(cut(shares, own, self, 1), g.reshape(v, ["row", c.kvHeads, 1, 1, c.headDim]))
    const ofAll = g.add(ofPast, ofSelf)
    return prompts === undefined ? ofAll : g.add(ofAll, prompts.mix(cut(shares, self, g.ints([2 ** 31]), "T")))
  })
  outputScores(g, p, c, x, "row", filters)
  outputCache(g, keys, values)
}

/**
 * Computes the queries of all rows of a prompt as rows of one product with its keys, and their shares as rows of one
 * product with its values.
 */
const attentionToPrompts = (g: Graph, c: DecoderConfig) => {
  const groups = c.heads / c.kvHeads
  const slots = g.input("slots", "int64", ["prompt", "slot"])
  const places = g.input("places", "int64", ["row"])
  const mask = maskInputs(g, c, "prompt_mask", ["row", 1, 1, 1, "T"])
  /** x [row, kvHeads, groups, n] to [prompt, kvHeads, slot_groups, n] and back. */
  const together = (x: Value, n: number | string): Value =>
    g.reshapeTo(g.transpose(g.emit("Gather", [x, slots]), [0, 2, 1, 3, 4]), ["prompt", c.kvHeads, "slot_groups", n])
  const apart = (x: Value, n: number | string): Value => {
    const split = g.reshapeTo(x, ["prompt", c.kvHeads, "slot", groups, n])
    return g.emit("Gather", [g.reshapeTo(g.transpose(split, [0, 2, 1, 3, 4]), ["prompt_slot", c.kvHeads, groups, n]), places])
  }
  return (layer: number, q: Value) => {
    const shape = ["prompt", c.kvHeads, "T", c.headDim] as const
    const k = g.input(`prompt_k.${layer}`, "float32", shape)
    const v = g.input(`prompt_v.${layer}`, "float32", shape)
    const queries = together(g.reshape(q, ["row", c.kvHeads, groups, c.headDim]), c.headDim)
    const scores = apart(g.matmul(queries, g.transpose(k, [0, 1, 3, 2])), "T")
    return {
      /** [row, kvHeads, groups, 1, T] */
      scores: g.add(g.unsqueeze(scores, [3]), mask(layer)),
      /** @param shares as the scores; returns [row, kvHeads, groups, 1, D] */
      mix: (shares: Value): Value =>
        g.unsqueeze(apart(g.matmul(together(g.squeeze(shares, [3]), "T"), v), c.headDim), [3])
    }
  }
}
