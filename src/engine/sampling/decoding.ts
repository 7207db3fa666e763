/**
 * The graphs that a sampler runs: prompts read once, then one token after the other, or several where there is a draft of them,
 * with a cache of keys and values.
 */
import type { Graph, Value } from "../graph/graph.ts"
import { type ParameterSource, parameterSource, type Weights } from "../weights/parameters.ts"
import { blocks, type DecoderConfig, maskInputs, type Projections, rowsOf, unembeddingName, withinCall } from "../nets/transformer.ts"

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
 */
export const decode = (g: Graph, c: DecoderConfig, weights: Weights, length: number, filters: Filters, shared: boolean): void =>
  decodeWith(attentionToOwn, g, c, weights, length, filters, shared)

/**
 * Several tokens for each of some sequences: its last one and a draft of those that may follow, each seen by those after
 * it. So the scores say whether a draft is what would have been drawn (Leviathan et al. 2023, arXiv:2211.17192, where
 * both models draw by the same random numbers).
 *
 * Inputs and outputs as `decode` has them, where a row is one token that is read; but caches are [sequence, kvHeads, 1, S, D],
 * and `mask` and `sliding_mask` are [row, 1, 1, 1, S + time]: the sequence's cache, then its own places in this run, of
 * which `time` is the most of any sequence. Also `read` [sequence, time] int64, the row at each place (any, where there is
 * none), and `read_at` [row] int64, each row's place, flat.
 */
export const verify = (g: Graph, c: DecoderConfig, weights: Weights, length: number, filters: Filters, shared: boolean): void =>
  decodeWith(attentionToDrafted, g, c, weights, length, filters, shared)

/** One layer's attention to some tokens. */
interface Attention {
  /** Before the softmax, in parts [row, kvHeads, groups, 1, n]. */
  readonly scores: ReadonlyArray<Value>
  /** What shares, in the same parts, give: [row, kvHeads, groups, 1, D]. */
  readonly mix: (shares: ReadonlyArray<Value>) => Value
}

/** The attention to a sequence's own tokens. */
type OwnAttention = (g: Graph, c: DecoderConfig) => {
  /** Where each part of the scores ends, [1] int64. */
  readonly ends: ReadonlyArray<Value>
  readonly of: (layer: number, projections: Projections) => Attention
}

const decodeWith = (own: OwnAttention, g: Graph, c: DecoderConfig, weights: Weights, length: number, filters: Filters, shared: boolean): void => {
  const p = parameterSource(g, weights)
  const ids = g.input("ids", "int64", ["row"])
  const rows = { ...rowsOf(g, c, g.input("positions", "int64", ["row", 1]), length), single: true }
  const attention = g.within("attention", () => own(g, c))
  const promptAttention = shared ? attentionToPrompts(g, c) : undefined
  const keys: Array<Value> = []
  const values: Array<Value> = []
  const { x } = blocks(g, p, c, rows, ids, (layer, projections) => {
    keys.push(projections.k)
    values.push(projections.v)
    const mine = attention.of(layer, projections)
    const prompts = promptAttention?.(layer, projections.q)
    const scores = [...mine.scores, ...prompts?.scores ?? []]
    const shares = cut(g, g.emit("Softmax", [g.concat(scores, 4)]), attention.ends, scores)
    const ofOwn = mine.mix(shares.slice(0, mine.scores.length))
    return prompts === undefined ? ofOwn : g.add(ofOwn, prompts.mix(shares.slice(mine.scores.length)))
  })
  outputScores(g, p, c, x, "row", filters)
  outputCache(g, keys, values)
}

/** The parts of x along its last axis, each as long as the one of `like`. @param ends where each ends, but for the last, if it is x's end */
const cut = (g: Graph, x: Value, ends: ReadonlyArray<Value>, like: ReadonlyArray<Value>): ReadonlyArray<Value> => {
  if (like.length === 1) return [x]
  const last = x.shape.length - 1
  return like.map(({ shape }, n) =>
    g.emit("Slice", [x, ends[n - 1] ?? g.ints([0]), ends[n] ?? g.ints([2 ** 31]), g.ints([last])], {
      axis: last,
      to: [...x.shape.slice(0, -1), shape.at(-1)!].join()
    }))
}

/** The length of the last axis, [1] int64. */
const lastLength = (g: Graph, x: Value): Value => g.slice(g.emit("Shape", [x]), 0, x.shape.length - 1, x.shape.length)

/**
 * To a sequence's cache and its new token. Each head is a product of a matrix and one vector, which onnxruntime computes
 * directly from the cache. With the query heads that share a key as rows of one product, it would pack the cache again for every
 * token. For a shared prompt with many rows, or with drafts, packing pays.
 */
const attentionToOwn: OwnAttention = (g, c) => {
  const groups = c.heads / c.kvHeads
  const mask = maskInputs(g, c, "mask", ["row", 1, 1, 1, "S"])
  const past = lastLength(g, mask(0))
  return {
    ends: [past, g.add(past, g.ints([1]))],
    of: (layer, { k, q, v }) => {
      const cache = (kind: "k" | "v") => g.input(`past_${kind}.${layer}`, "float32", ["row", c.kvHeads, 1, "S", c.headDim])
      const column = g.reshape(q, ["row", c.kvHeads, groups, c.headDim, 1])
      const toPast = g.add(g.reshape(g.matmul(cache("k"), column), ["row", c.kvHeads, groups, 1, "S"]), mask(layer))
      const toSelf = g.matmul(g.reshape(k, ["row", c.kvHeads, 1, 1, c.headDim]), column)
      return {
        scores: [toPast, toSelf],
        mix: ([ofPast, ofSelf]) =>
          g.add(g.matmul(ofPast!, cache("v")), g.mul(ofSelf!, g.reshape(v, ["row", c.kvHeads, 1, 1, c.headDim])))
      }
    }
  }
}

/** To a sequence's cache and the tokens of it that this run reads. */
const attentionToDrafted: OwnAttention = (g, c) => {
  const groups = c.heads / c.kvHeads
  const read = g.input("read", "int64", ["sequence", "time"])
  const readAt = g.input("read_at", "int64", ["row"])
  const mask = maskInputs(g, c, "mask", ["row", 1, 1, 1, "S+time"])
  /** x [row, kvHeads, groups, n] to [sequence, kvHeads, groups, time, n], in the order of `perm`, and back. */
  const together = (x: Value, perm: ReadonlyArray<number>): Value => g.transpose(g.emit("Gather", [x, read]), perm)
  const apart = (x: Value, n: number | string): Value => {
    const split = g.transpose(g.reshapeTo(x, ["sequence", c.kvHeads, groups, "time", n]), [0, 3, 1, 2, 4])
    return g.unsqueeze(g.emit("Gather", [g.reshapeTo(split, ["sequence_time", c.kvHeads, groups, n]), readAt]), [3])
  }
  const [byGroup, byTime] = [[0, 2, 3, 1, 4], [0, 2, 4, 3, 1]]
  const seen = lastLength(g, mask(0))
  const past = g.sub(seen, lastLength(g, read))
  const rowsOfProduct = (x: Value, n: number | string) => g.reshapeTo(together(x, byGroup), ["sequence", c.kvHeads, "group_time", n])
  return {
    ends: [seen],
    of: (layer, { k, q, v }) => {
      const cache = (kind: "k" | "v") =>
        g.squeeze(g.input(`past_${kind}.${layer}`, "float32", ["sequence", c.kvHeads, 1, "S", c.headDim]), [2])
      const own = (x: Value, perm: ReadonlyArray<number>) => together(g.reshape(x, ["row", c.kvHeads, c.headDim]), perm)
      const [keys, values] = [cache("k"), cache("v")]
      const queries = g.reshape(q, ["row", c.kvHeads, groups, c.headDim])
      // The cache is the left side of the product, which is not packed.
      const columns = g.reshapeTo(together(queries, byTime), ["sequence", c.kvHeads, c.headDim, "group_time"])
      const toPast = g.transpose(g.matmul(keys, columns), [0, 1, 3, 2])
      const toOwn = g.matmul(rowsOfProduct(queries, c.headDim), own(k, [0, 2, 3, 1]))
      return {
        scores: [g.add(apart(g.concat([toPast, toOwn], 3), "S+time"), mask(layer))],
        mix: ([shares]) => {
          const [ofPast, ofOwn] = cut(g, rowsOfProduct(g.squeeze(shares!, [3]), "S+time"), [past], [toPast, toOwn])
          return apart(g.add(g.matmul(ofPast!, values), g.matmul(ofOwn!, own(v, [0, 2, 1, 3]))), c.headDim)
        }
      }
    }
  }
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
  return (layer: number, q: Value): Attention => {
    const shape = ["prompt", c.kvHeads, "T", c.headDim] as const
    const k = g.input(`prompt_k.${layer}`, "float32", shape)
    const v = g.input(`prompt_v.${layer}`, "float32", shape)
    const queries = together(g.reshape(q, ["row", c.kvHeads, groups, c.headDim]), c.headDim)
    const scores = apart(g.matmul(queries, g.transpose(k, [0, 1, 3, 2])), "T")
    return {
      scores: [g.add(g.unsqueeze(scores, [3]), mask(layer))],
      mix: ([shares]) =>
        g.unsqueeze(apart(g.matmul(together(g.squeeze(shares!, [3]), "T"), v), c.headDim), [3])
    }
  }
}
