/** Strengths from paired comparisons. */

/** One comparison between two of n items. */
export interface Comparison {
  readonly a: number
  readonly b: number
  /** Share of the win that goes to a, in [0, 1]: 1 a won, 0 b won, 0.5 a tie. */
  readonly win: number
  /** How much it counts, >= 0; 1 for a plain answer. */
  readonly weight: number
}

export interface Strengths {
  /** [item] log-strengths, mean 0: P(i beats j) = σ(strength i - strength j). */
  readonly strength: ReadonlyArray<number>
  /** [item] standard errors of these, from the curvature at the maximum. */
  readonly standardError: ReadonlyArray<number>
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/**
 * Bradley-Terry by Newton's method (Bradley & Terry 1952; Hunter 2004); a tie is half a win for each. Ours: a Gaussian
 * prior of precision `l2` on every strength. Without it an item that always won has no finite maximum; it also joins
 * groups that were never compared, at 0.
 *
 * @param items n, >= 1
 * @param l2 > 0
 */
export const bradleyTerry = (items: number, comparisons: ReadonlyArray<Comparison>, l2 = 0.1): Strengths => {
  let s = new Float64Array(items)
  const curvature = (at: Float64Array) => {
    const gradient = Float64Array.from(at, (x) => -l2 * x)
    const hessian = Array.from({ length: items }, (_, i) => {
      const row = new Float64Array(items)
      row[i] = l2
      return row
    })
    for (const { a, b, weight, win } of comparisons) {
      const p = sigmoid(at[a]! - at[b]!)
      gradient[a]! += weight * (win - p)
      gradient[b]! -= weight * (win - p)
      const h = weight * p * (1 - p)
      hessian[a]![a]! += h
      hessian[b]![b]! += h
      hessian[a]![b]! -= h
      hessian[b]![a]! -= h
    }
    return { gradient, inverse: inverseOf(hessian) }
  }
  for (let iteration = 0; iteration < 50; iteration++) {
    const { gradient, inverse } = curvature(s)
    const step = inverse.map((row) => row.reduce((sum, x, j) => sum + x * gradient[j]!, 0))
    // The likelihood is concave, but a full step may overshoot where it is flat.
    const length = Math.max(...step.map(Math.abs))
    s = s.map((x, i) => x + step[i]! * Math.min(1, 2 / length))
    if (length < 1e-10) break
  }
  const mean = (xs: ArrayLike<number>): number => Array.from(xs).reduce((sum, x) => sum + x, 0) / items
  // Covariance after the mean is subtracted: (I - 11ᵀ/n) C (I - 11ᵀ/n).
  const { inverse } = curvature(s)
  const rowMeans = inverse.map(mean)
  const level = mean(s)
  return {
    strength: Array.from(s, (x) => x - level),
    standardError: inverse.map((row, i) => Math.sqrt(Math.max(0, row[i]! - 2 * rowMeans[i]! + mean(rowMeans))))
  }
}

/** Gauss-Jordan; the matrix must be symmetric and positive definite, so no pivot is near 0. */
export const inverseOf = (matrix: ReadonlyArray<Float64Array>): Array<Float64Array> => {
  const n = matrix.length
  const rows = matrix.map((row, i) => Float64Array.from({ length: 2 * n }, (_, j) => (j < n ? row[j]! : j - n === i ? 1 : 0)))
  for (let c = 0; c < n; c++) {
    const pivot = rows[c]![c]!
    for (let j = 0; j < 2 * n; j++) rows[c]![j]! /= pivot
    for (let i = 0; i < n; i++) {
      const factor = rows[i]![c]!
      if (i === c || factor === 0) continue
      for (let j = 0; j < 2 * n; j++) rows[i]![j]! -= factor * rows[c]![j]!
    }
  }
  return rows.map((row) => row.slice(n))
}
