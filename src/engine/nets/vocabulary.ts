/**
 * Log-probabilities of tokens over a large frozen vocabulary, without all logits at once: slice by slice, with their
 * derivative in the same pass, so that nothing is computed twice (after Wijmans et al. 2024, Cut Cross-Entropy,
 * arXiv:2411.09009, which recomputes the logits and skips small gradients; this does neither). The table is also
 * widened to float32 slice by slice.
 */
import type { Graph, Value } from "../graph/graph.ts"

/**
 * Rows of the table multiplied at a time: 8192 x 1024 float32 are 34 MB, and the product is as fast as with any other
 * number.
 */
export const vocabularySlice = 8192

/**
 * log softmax(x Eᵀ) at the target of each row: x·e - lse, nats. Its derivative is e - softmax(x Eᵀ) E.
 *
 * With the softmax p and the log-sum-exp z of one slice, the running values of all slices before it are joined as
 * lse' = lse + softplus(z - lse) and mean' = mean + σ(z - lse) (p E - mean), which no large logit overflows. log Σ p², each
 * part less twice what its logarithm of a sum grows by, is joined as lse is.
 *
 * @param x [token, width] float32
 * @param slices of the table E, each [n, width] float32, in any order; no derivative flows to them
 * @param chosen e [token, width], the rows of E at the targets
 * @param derivative whether the values will be differentiated: else the half of the work that serves it is left out
 * @param concentrated whether `concentrations` are wanted: log Σ p² over the vocabulary, the logarithm of the chance that two draws
 * are the same token, nats; no derivative flows through them
 * @returns each [token]
 */
export const vocabularyLogps = (
  g: Graph,
  x: Value,
  slices: ReadonlyArray<Value>,
  chosen: Value,
  derivative: boolean,
  concentrated = false
): { readonly logps: Value; readonly concentrations: Value | undefined } => {
  let total: { readonly lse: Value; readonly mean: Value | undefined; readonly squares: Value | undefined } | undefined
  for (const slice of slices) {
    // One slice after the other: each starts when the one before is summed up and freed.
    const at = total === undefined ? x : g.after(x, total.mean ?? total.squares ?? total.lse)
    const logits = g.emit("Gemm", [at, slice], { transB: 1 })
    const p = g.emit("Softmax", [logits])
    // The likeliest token's p is exp(its logit - lse).
    const lse = g.sub(largest(g, logits), g.emit("Log", [largest(g, p)]))
    const mean = derivative ? g.emit("Gemm", [p, slice]) : undefined
    const squares = concentrated ? g.emit("Log", [g.sum(g.mul(p, p), [1], true)]) : undefined
    if (total === undefined) {
      total = { lse, mean, squares }
      continue
    }
    const gap = g.sub(lse, total.lse)
    total = {
      lse: g.add(total.lse, g.emit("Softplus", [gap])),
      mean: mean && total.mean && g.add(total.mean, g.mul(g.emit("Sigmoid", [gap]), g.sub(mean, total.mean))),
      squares: squares && total.squares && joinedSquares(g, total.squares, squares, gap)
    }
  }
  const { lse, mean, squares } = total!
  const logps = g.squeeze(g.sub(g.sum(g.mul(x, chosen), [1], true), lse), [1])
  return {
    logps: mean === undefined ? logps : g.emit("WithDerivative", [logps, x, g.sub(chosen, mean)]),
    concentrations: squares && g.squeeze(g.emit("Cast", [squares], { to: 1 }), [1])
  }
}

/** log Σ p² over two parts from that of each; the log-sum-exp of the second is over that of the first by `gap`. */
const joinedSquares = (g: Graph, first: Value, second: Value, gap: Value): Value => {
  const a = g.sub(first, g.scale(g.emit("Softplus", [gap]), 2))
  const b = g.sub(second, g.scale(g.emit("Softplus", [g.neg(gap)]), 2))
  return g.add(a, g.emit("Softplus", [g.sub(b, a)]))
}

/** The largest value of each row: [row, n] to [row, 1]. */
const largest = (g: Graph, x: Value): Value => g.emit("ReduceMax", [x, g.ints([1])], { axes: [1] })
