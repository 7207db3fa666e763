/** Preprocessing that turns a picture into floats before it resizes it, as HPSv2 does; see pixels.ts for the usual order. */
import type { Preprocessing } from "./preprocessing-steps.ts"
import { resizeFloats } from "../drawing/resize.ts"

/**
 * Writes a square RGBA picture [size, size, 4] as `into`'s [3, side, side] from `offset` on: resized in floats, then (x
 * - mean) / std. `p.side` is `p.resized`, and `p.factor` 1 / 255.
 */
export const toUnroundedPixels = (rgba: Uint8Array, size: number, p: Preprocessing, into: Float32Array, offset: number): void => {
  const x = resizeFloats(rgba, size, size, p.resized, p.resized, p.filter)
  const plane = p.resized ** 2
  for (let i = 0; i < x.length; i++) {
    const channel = Math.floor(i / plane)
    into[offset + i] = (x[i]! - p.mean[channel]!) / p.std[channel]!
  }
}
