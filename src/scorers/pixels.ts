/** Turns a rendered picture into the input of a vision graph, as the image processors of transformers (Pillow's) do. */
import type { Normalisation, Preprocessing } from "./preprocessing-steps.ts"
import { resize } from "../drawing/resize.ts"
import { toUnroundedPixels } from "./unrounded-pixels.ts"

/** RGBA pixels [side, side, 4] to one image's [3, side, side], each channel (x * factor - mean) / std. */
export const normalisePixels = (
  rgba: Uint8Array,
  { factor, mean, std }: Normalisation,
  into: Float32Array,
  offset: number
): void => {
  const plane = rgba.length / 4
  for (let channel = 0; channel < 3; channel++) {
    const scale = factor / std[channel]!
    const shift = mean[channel]! / std[channel]!
    for (let i = 0; i < plane; i++) into[offset + channel * plane + i] = rgba[i * 4 + channel]! * scale - shift
  }
}

/** The middle `side` x `side` pixels of a square; an odd extra pixel stays at the right and the bottom. */
const cropMiddle = (rgba: Uint8Array, from: number, side: number): Uint8Array => {
  if (from === side) return rgba
  const out = new Uint8Array(side * side * 4)
  const start = Math.floor((from - side) / 2)
  const [left, right] = [Math.max(0, start), Math.min(from, start + side)]
  for (let y = left; y < right; y++) {
    out.set(rgba.subarray((y * from + left) * 4, (y * from + right) * 4), ((y - start) * side + left - start) * 4)
  }
  return out
}

/** A square RGBA picture [size, size, 4] as `into`'s [3, side, side] from `offset` on. */
export const toPixels = (rgba: Uint8Array, size: number, p: Preprocessing, into: Float32Array, offset: number): void => {
  if (p.unrounded) return toUnroundedPixels(rgba, size, p, into, offset)
  const resized = size === p.resized ? rgba : resize(rgba, size, size, p.resized, p.resized, p.filter)
  normalisePixels(cropMiddle(resized, p.resized, p.side), p, into, offset)
}
