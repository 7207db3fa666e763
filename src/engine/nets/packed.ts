/** Projections of queries, keys and values that a checkpoint stores as one matrix, one below the other. */
import type { TensorEntry } from "../weights/safetensors.ts"
import { wrongShape } from "../graph/shape-error.ts"

/** Which of the thirds. */
export const thirds = { q: 0, k: 1, v: 2 } as const

/**
 * A third of the rows of [3 n, ...]. Rows follow one another in the file, so the third is a tensor by itself, [n, ...].
 */
export const thirdOf = <E extends TensorEntry>(entry: E, third: 0 | 1 | 2): E => {
  const rows = entry.shape[0] ?? 0
  if (rows % 3 !== 0) return wrongShape(`[${entry.shape}] has no three equal parts`)
  const length = entry.length / 3
  return { ...entry, shape: [rows / 3, ...entry.shape.slice(1)], offset: entry.offset + third * length, length }
}
