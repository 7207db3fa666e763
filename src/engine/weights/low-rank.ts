/**
 * Folds low-rank factors into the matrix they adapt: W' = W + scale B A (Hu et al. 2021, arXiv:2106.09685, section
 * 4.1).
 */

/**
 * Adds to some rows of W, in place. A product is summed in float64 and rounded to float32 once, with W added.
 *
 * @param W [rows, in]
 * @param B [rows, r], the same rows
 * @param A [r, in]
 */
export const addLowRank = (W: Float32Array, B: Float32Array, A: Float32Array, r: number, scale: number): void => {
  const width = A.length / r
  const rows = B.length / r
  const product = new Float64Array(width)
  for (let row = 0; row < rows; row++) {
    product.fill(0)
    for (let k = 0; k < r; k++) {
      const b = B[row * r + k]!
      for (let i = 0, a = k * width; i < width; i++, a++) product[i]! += b * A[a]!
    }
    for (let i = 0, at = row * width; i < width; i++, at++) W[at] = W[at]! + scale * product[i]!
  }
}
