/**
 * One graph for prompts and for what follows them, in the form that transformers.js, Optimum and onnxruntime-genai
 * expect of an exported decoder: the whole cache goes in and comes out. Our own sampler's graphs are faster
 * (decoding.ts); this one is for other programs.
 */
import type { Graph, Value } from "../graph/graph.ts"
import { blocks, byLayer, type DecoderConfig, rowsOfAny, unembeddingName } from "../nets/transformer.ts"
import { parameterSource, type Weights } from "../weights/parameters.ts"

const [batch, time, past] = ["batch_size", "sequence_length", "past_sequence_length"]
const total = `${past}+${time}`

/**
 * Inputs: `input_ids` [batch_size, sequence_length] int64, the tokens after the cached ones; `attention_mask`
 * [batch_size, past + sequence] int64, 0 for padding on the left, else 1; `position_ids` [batch_size, sequence_length]
 * int64; `num_logits_to_keep` [] int64, how many of the last positions get logits, 0 for all; and for each layer i
 * `past_key_values.i.key` and `.value` [batch_size, kvHeads, past_sequence_length, D] float32, past 0 at first.
 *
 * Outputs: `logits` [batch_size, kept, vocab] float32; `present.i.key` and `.value`
 * [batch_size, kvHeads, past + sequence, D]: the next call's past.
 */
export const withCache = (g: Graph, c: DecoderConfig, weights: Weights): void => {
  const p = parameterSource(g, weights)
  const groups = c.heads / c.kvHeads
  const ids = g.input("input_ids", "int64", [batch, time])
  const mask = maskOf(g, c, g.input("attention_mask", "int64", [batch, total]), ids)
  const rows = rowsOfAny(g, c, g.input("position_ids", "int64", [batch, time]))
  const { x } = blocks(g, p, c, rows, ids, (layer, { k, q, v }) => {
    const all = (kind: "key" | "value", now: Value): Value => {
      const before = g.input(`past_key_values.${layer}.${kind}`, "float32", [batch, c.kvHeads, past, c.headDim])
      const both = g.concat([before, now], 2)
      g.output(`present.${layer}.${kind}`, both)
      return both
    }
    const keys = all("key", k)
    const values = all("value", v)
    const scores = g.matmul(q, g.transpose(keys, [0, 1, 3, 2]))
    // Apart by query head for the mask, together again for the product.
    const masked = g.add(g.reshapeTo(scores, [batch, c.kvHeads, groups, time, total]), mask(layer))
    return g.matmul(g.reshapeTo(g.emit("Softmax", [masked]), [batch, c.kvHeads, "group_time", total]), values)
  })
  const hidden = g.reshapeTo(x, [batch, time, c.hidden])
  const kept = g.unsqueeze(g.neg(g.input("num_logits_to_keep", "int64", [])), [0]) // from -0, everything is kept
  const last = g.emit("Slice", [hidden, kept, g.ints([2 ** 31]), g.ints([1])], { axis: 1, to: [batch, "kept", c.hidden].join() })
  const logits = p.times(unembeddingName(c), g.reshape(last, ["batch_kept", c.hidden]), c.vocab)
  g.output("logits", g.reshapeTo(logits, [batch, "kept", c.vocab]))
}

/** [batch_size, 1, 1, sequence_length, past + sequence] of each layer: 0 where a token may look, -1e9 elsewhere. */
const maskOf = (g: Graph, c: DecoderConfig, seen: Value, ids: Value): (layer: number) => Value => {
  const length = (x: Value, axis: number) => g.squeeze(g.slice(g.emit("Shape", [x]), 0, axis, axis + 1), [0])
  const [zero, one] = [g.ints([0], []), g.ints([1], [])]
  const end = length(seen, 1)
  const places = (from: Value, name: string) => g.emit("Cast", [g.emit("Range", [from, end, one], { to: name })], { to: 1 })
  const keys = g.unsqueeze(places(zero, total), [0])
  const queries = g.unsqueeze(places(g.sub(end, length(ids, 1)), time), [1])
  /** -1e9 where x is over 0. */
  const hidden = (x: Value) => g.emit("Where", [g.emit("Cast", [g.emit("Relu", [x])], { to: 9 }), g.scalar(-1e9), g.scalar(0)])
  const padding = g.scale(g.sub(g.scalar(1), g.emit("Cast", [seen], { to: 1 })), -1e9)
  const causal = g.add(hidden(g.sub(keys, queries)), g.unsqueeze(padding, [1]))
  const shaped = (x: Value) => g.unsqueeze(x, [1, 2])
  return byLayer(c, shaped(causal), ({ window }) =>
    shaped(g.add(causal, hidden(g.sub(g.sub(queries, keys), g.scalar(window - 1))))))
}
