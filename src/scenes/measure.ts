/** Measures shared by the checks; each is a number in [0, 1], 1 for what a good drawing shows. */
import { templates, maskSide } from "./figures.ts"
import { type Figure, figures } from "./grammar.ts"
import { at, type Blob, inkOf, type Mask, type Picture } from "./pixels.ts"

export const clamp = (x: number): number => (x > 0 ? Math.min(1, x) : 0)

/** 0 at `none` or before, 1 at `full` or beyond, linear between; the two may come in either order. */
export const ramp = (x: number, none: number, full: number): number => clamp((x - none) / (full - none))

/** How nearly equal two positive numbers are. */
export const ratio = (a: number, b: number): number => (a > 0 && b > 0 ? Math.min(a / b, b / a) : 0)

export const width = (b: Blob): number => b.x1 - b.x0
export const height = (b: Blob): number => b.y1 - b.y0

/** Intersection over union with each figure's template, once the blob is stretched to the template's box. */
const likeness = (picture: Picture, mask: Mask, blob: Blob, figure: Figure): number => {
  const { aspect, cells } = templates[figure]
  let [both, either] = [0, 0]
  for (let k = 0; k < cells.length; k++) {
    const x = blob.x0 + (((k % maskSide) + 0.5) / maskSide) * width(blob)
    const y = blob.y0 + ((Math.floor(k / maskSide) + 0.5) / maskSide) * height(blob)
    const on = at(picture, mask, x, y)
    if (on && cells[k]!) both += 1
    if (on || cells[k]!) either += 1
  }
  return (both / either) * Math.sqrt(ratio(width(blob) / height(blob), aspect))
}

/** How well a blob shows a figure; at most 0.4 if it looks more like another one. */
export const figureScore = (picture: Picture, mask: Mask, blob: Blob, figure: Figure): number => {
  const own = likeness(picture, mask, blob, figure)
  const rival = Math.max(...figures.filter((f) => f !== figure).map((f) => likeness(picture, mask, blob, f)))
  return ramp(own, 0.5, 0.88) * (own > rival ? 1 : 0.4)
}

/** Falls with every unit of ink along the edge of the image; 0 from three units on. */
export const borderScore = (picture: Picture): number => {
  const ink = inkOf(picture)
  const { height: h, unit, width: w } = picture
  let touching = 0
  for (let x = 0; x < w; x++) touching += ink[x]! + ink[(h - 1) * w + x]!
  for (let y = 1; y < h - 1; y++) touching += ink[y * w]! + ink[y * w + w - 1]!
  return ramp(touching / unit, 3, 0)
}

/** Counts compared: 1 if equal, 1/3 if one off, 1/5 if two off. */
export const countScore = (found: number, wanted: number): number => 1 / (1 + 2 * Math.abs(found - wanted))
