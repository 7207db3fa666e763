/**
 * How alike two pictures are, from their pixels alone: the reconstruction rewards of RLRF (Rodriguez et al. 2025,
 * arXiv:2505.20793), of the colours and of the edges. Both pictures are brought to mean 0 and deviation 1, so a paler copy
 * is as good as the original:
 *
 *     likeness = 1 - ‖x - y‖₂ / √n, at least -1      1 for the same picture, about -0.4 for two that have nothing in common
 *
 * Ours: edges are Sobel's magnitudes, blurred before and after, where RLRF dilates and blurs Canny's thin lines. Both let an
 * edge count that is a pixel or two beside its place.
 */

/** RGBA, 8 bits a channel, [side * side * 4]; alpha is not read. */
export type Pixels = Uint8Array

/** Mean 0 and deviation 1; all 0 if every value is the same. */
const normalised = (x: Float32Array): Float32Array => {
  let mean = 0
  for (const value of x) mean += value / x.length
  let square = 0
  for (const value of x) square += (value - mean) ** 2 / x.length
  const deviation = Math.sqrt(square)
  return x.map((value) => (deviation < 1e-6 ? 0 : (value - mean) / deviation))
}

/** [n] and [n]; the result is in [-1, 1]. */
const likeness = (x: Float32Array, y: Float32Array): number => {
  const [a, b] = [normalised(x), normalised(y)]
  let square = 0
  for (let i = 0; i < a.length; i++) square += (a[i]! - b[i]!) ** 2
  return Math.max(-1, 1 - Math.sqrt(square / a.length))
}

const colours = (rgba: Pixels): Float32Array =>
  Float32Array.from({ length: rgba.length / 4 * 3 }, (_, i) => rgba[Math.floor(i / 3) * 4 + i % 3]!)

/** Rec. 601 luma, [side * side]. */
const gray = (rgba: Pixels): Float32Array =>
  Float32Array.from({ length: rgba.length / 4 }, (_, i) => 0.299 * rgba[4 * i]! + 0.587 * rgba[4 * i + 1]! + 0.114 * rgba[4 * i + 2]!)

/** The mean of the 2 * reach + 1 pixels around each along a row, then along a column; the border is repeated. */
const blurred = (x: Float32Array, side: number, reach: number): Float32Array => {
  const along = (from: Float32Array, step: number, across: number) => {
    const to = new Float32Array(from.length)
    for (let line = 0; line < side; line++) {
      for (let at = 0; at < side; at++) {
        let sum = 0
        for (let d = -reach; d <= reach; d++) sum += from[line * across + Math.min(side - 1, Math.max(0, at + d)) * step]!
        to[line * across + at * step] = sum / (2 * reach + 1)
      }
    }
    return to
  }
  return along(along(x, 1, side), side, 1)
}

/** How steep the brightness is at each pixel, [side * side]; 0 at the border. */
const steepness = (x: Float32Array, side: number): Float32Array => {
  const out = new Float32Array(x.length)
  for (let row = 1; row < side - 1; row++) {
    for (let column = 1; column < side - 1; column++) {
      const at = (dy: number, dx: number) => x[(row + dy) * side + column + dx]!
      const across = at(-1, 1) + 2 * at(0, 1) + at(1, 1) - at(-1, -1) - 2 * at(0, -1) - at(1, -1)
      const down = at(1, -1) + 2 * at(1, 0) + at(1, 1) - at(-1, -1) - 2 * at(-1, 0) - at(-1, 1)
      out[row * side + column] = Math.hypot(across, down)
    }
  }
  return out
}

const edges = (rgba: Pixels, side: number): Float32Array => blurred(steepness(blurred(gray(rgba), side, 1), side), side, Math.max(1, Math.round(side / 56)))

/** @param side pixels of a side of both; at least 3 */
export const pixelLikeness = (a: Pixels, b: Pixels): number => likeness(colours(a), colours(b))
export const edgeLikeness = (a: Pixels, b: Pixels, side: number): number => likeness(edges(a, side), edges(b, side))
