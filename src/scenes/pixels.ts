/**
 * What can be read from an image without knowing how it was made: which palette colour each pixel shows, the connected
 * blobs of a colour, and black rings. Lengths are viewBox units (the image is 64 units wide), areas square units.
 */
import { type Colour, colours } from "./grammar.ts"

export interface Image {
  readonly width: number
  readonly height: number
  /** Row by row from the top, four bytes per pixel; alpha is taken to be opaque. */
  readonly rgba: Uint8Array | Uint8ClampedArray
}

export type Paint = Colour | "white"

const paints: ReadonlyArray<Paint> = ["white", ...colours]
const rgb: Record<Paint, readonly [number, number, number]> = {
  white: [255, 255, 255],
  red: [255, 0, 0],
  orange: [255, 165, 0],
  yellow: [255, 255, 0],
  green: [0, 128, 0],
  blue: [0, 0, 255],
  purple: [128, 0, 128],
  pink: [255, 192, 203],
  brown: [165, 42, 42],
  black: [0, 0, 0],
  gray: [128, 128, 128]
}
const values = paints.map((paint) => rgb[paint])
const white = 0
const black = paints.indexOf("black")

export interface Blob {
  readonly area: number
  /** Centroid. */
  readonly cx: number
  readonly cy: number
  /** Bounding box; x1 and y1 lie just outside. */
  readonly x0: number
  readonly y0: number
  readonly x1: number
  readonly y1: number
}

export interface Ring {
  readonly cx: number
  readonly cy: number
  readonly r: number
  /** How much of the circle is there, 0..1. */
  readonly quality: number
}

/** Pixels chosen out of a picture: one byte each, 1 where chosen. */
export type Mask = Uint8Array

export interface Picture {
  readonly width: number
  readonly height: number
  /** Pixels per unit. */
  readonly unit: number
  /** Index of each pixel's paint. */
  readonly labels: Uint8Array
}

/** Squared RGB distance of a pixel from a paint. */
const distance = (p: Uint8Array | Uint8ClampedArray, at: number, label: number): number => {
  const v = values[label]!
  return (p[at]! - v[0]) ** 2 + (p[at + 1]! - v[1]) ** 2 + (p[at + 2]! - v[2]) ** 2
}

/**
 * Where on the straight line between two paints a pixel lies, 0 at `a` and 1 at `b`; `undefined` off the line.
 * Antialiasing puts edge pixels exactly there, some of them on a third paint: gray between black and white.
 */
const blend = (p: Uint8Array | Uint8ClampedArray, i: number, a: number, b: number): number | undefined => {
  const [u, v] = [values[a]!, values[b]!]
  let [dot, norm] = [0, 0]
  for (let k = 0; k < 3; k++) {
    dot += (p[i + k]! - u[k]!) * (v[k]! - u[k]!)
    norm += (v[k]! - u[k]!) ** 2
  }
  const t = dot / norm
  if (t < 0 || t > 1) return undefined
  let off = 0
  for (let k = 0; k < 3; k++) off += (p[i + k]! - u[k]! - t * (v[k]! - u[k]!)) ** 2
  return off < 100 ? t : undefined
}

/** Squared RGB distances up to which a pixel counts as a paint and not as an edge, and as exactly that paint. */
const [pure, same] = [40 ** 2, 4 ** 2]

/** Gives every pixel a paint; the blurred pixels at an edge go to one of the paints that meet there. */
export const readImage = ({ height, rgba, width }: Image): Picture => {
  const size = width * height
  const nearest = new Uint8Array(size)
  const certain = new Uint8Array(size)
  const exact = new Uint8Array(size)
  for (let i = 0; i < size; i++) {
    const [p, q] = [4 * i, 4 * (i - 1)]
    // Most pixels have the colour of the one before.
    if (i > 0 && rgba[p] === rgba[q] && rgba[p + 1] === rgba[q + 1] && rgba[p + 2] === rgba[q + 2]) {
      nearest[i] = nearest[i - 1]!
      certain[i] = certain[i - 1]!
      exact[i] = exact[i - 1]!
      continue
    }
    let best = Infinity
    for (let label = 0; label < paints.length; label++) {
      const d = distance(rgba, p, label)
      if (d < best) {
        best = d
        nearest[i] = label
      }
    }
    certain[i] = best <= pure ? 1 : 0
    exact[i] = best <= same ? 1 : 0
  }
  // Edges where a blend looks like a paint are one pixel thin: a square of four pixels of exactly that paint is not an
  // edge.
  const plain = new Uint8Array(size)
  for (let i = 0; i + width + 1 < size; i++) {
    const square = [i, i + 1, i + width, i + width + 1]
    if (i % width < width - 1 && square.every((j) => exact[j] === 1 && nearest[j] === nearest[i])) {
      for (const j of square) plain[j] = 1
    }
  }
  const labels = nearest.slice()
  const near: Array<number> = []
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x
      if (plain[i] === 1) continue
      const own = nearest[i]!
      near.length = 0
      for (let v = Math.max(0, y - 2); v <= Math.min(height - 1, y + 2); v++) {
        for (let u = Math.max(0, x - 2); u <= Math.min(width - 1, x + 2); u++) {
          const label = nearest[v * width + u]!
          if (certain[v * width + u] === 1 && !near.includes(label)) near.push(label)
        }
      }
      if (certain[i] === 1 && near.length < 3) continue
      let mixed = -1
      for (const a of near) {
        for (const b of near) {
          if (a >= b || (certain[i] === 1 && (a === own || b === own))) continue
          const t = blend(rgba, 4 * i, a, b)
          if (t !== undefined && mixed < 0) mixed = t < 0.5 ? a : b
        }
      }
      if (mixed >= 0) {
        labels[i] = mixed
        continue
      }
      if (certain[i] === 1) continue
      // A dot of one pixel (an eye) is black or white without any pixel of pure paint; other blends are edges.
      let best = own === black || own === white ? distance(rgba, 4 * i, own) : Infinity
      let chosen = own
      for (const label of near) {
        const d = distance(rgba, 4 * i, label)
        if (d < best) {
          best = d
          chosen = label
        }
      }
      labels[i] = chosen
    }
  }
  return { width, height, unit: width / 64, labels }
}

export const maskOf = (picture: Picture, ...wanted: ReadonlyArray<Paint>): Mask => {
  const chosen = wanted.map((paint) => paints.indexOf(paint))
  return picture.labels.map((label) => (chosen.includes(label) ? 1 : 0))
}

/** Everything that is not white. */
export const inkOf = (picture: Picture): Mask => picture.labels.map((label) => (label === white ? 0 : 1))

/** Everything but the white that reaches the edge of the image: ink, and the white it encloses. */
export const solidOf = ({ height, labels, width }: Picture): Mask => {
  const solid = new Uint8Array(labels.length).fill(1)
  const stack: Array<number> = []
  const visit = (x: number, y: number): void => {
    const i = y * width + x
    if (x < 0 || y < 0 || x >= width || y >= height || solid[i] === 0 || labels[i] !== white) return
    solid[i] = 0
    stack.push(i)
  }
  for (let x = 0; x < width; x++) for (const y of [0, height - 1]) visit(x, y)
  for (let y = 0; y < height; y++) for (const x of [0, width - 1]) visit(x, y)
  while (stack.length > 0) {
    const i = stack.pop()!
    const x = i % width
    const y = (i - x) / width
    visit(x - 1, y)
    visit(x + 1, y)
    visit(x, y - 1)
    visit(x, y + 1)
  }
  return solid
}

/** The pixels of a mask for whose centre (in units) `keep` holds. */
export const where = (picture: Picture, mask: Mask, keep: (x: number, y: number) => boolean): Mask =>
  mask.map((on, i) =>
    on === 1 && keep((i % picture.width + 0.5) / picture.unit, (Math.floor(i / picture.width) + 0.5) / picture.unit)
      ? 1
      : 0
  )

/** Covered area of each paint. */
export const areas = (picture: Picture): Record<Paint, number> => {
  const counts = paints.map(() => 0)
  for (const label of picture.labels) counts[label]! += 1
  const square = picture.unit * picture.unit
  return Object.fromEntries(paints.map((paint, i) => [paint, counts[i]! / square])) as Record<Paint, number>
}

/** The 8-connected blobs of a mask of at least `least` square units, largest first. */
export const blobs = (picture: Picture, mask: Mask, least = 2): ReadonlyArray<Blob> => {
  const { height, unit, width } = picture
  const seen = new Uint8Array(mask.length)
  const stack: Array<number> = []
  const found: Array<Blob> = []
  for (let start = 0; start < mask.length; start++) {
    if (mask[start] !== 1 || seen[start] === 1) continue
    seen[start] = 1
    stack.push(start)
    let [n, sx, sy, x0, y0, x1, y1] = [0, 0, 0, width, height, 0, 0]
    while (stack.length > 0) {
      const i = stack.pop()!
      const x = i % width
      const y = (i - x) / width
      n += 1
      sx += x
      sy += y
      x0 = Math.min(x0, x)
      y0 = Math.min(y0, y)
      x1 = Math.max(x1, x)
      y1 = Math.max(y1, y)
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          const j = v * width + u
          if (mask[j] === 1 && seen[j] === 0) {
            seen[j] = 1
            stack.push(j)
          }
        }
      }
    }
    const area = n / (unit * unit)
    if (area < least) continue
    found.push({
      area,
      cx: (sx / n + 0.5) / unit,
      cy: (sy / n + 0.5) / unit,
      x0: x0 / unit,
      y0: y0 / unit,
      x1: (x1 + 1) / unit,
      y1: (y1 + 1) / unit
    })
  }
  return found.sort((a, b) => b.area - a.area)
}

/** The whole of a mask as one blob; `undefined` if it is empty. */
export const whole = (picture: Picture, mask: Mask): Blob | undefined => union(blobs(picture, mask, 0))

export const union = (parts: ReadonlyArray<Blob>): Blob | undefined => {
  if (parts.length === 0) return undefined
  const area = parts.reduce((sum, b) => sum + b.area, 0)
  return {
    area,
    cx: parts.reduce((sum, b) => sum + b.cx * b.area, 0) / area,
    cy: parts.reduce((sum, b) => sum + b.cy * b.area, 0) / area,
    x0: Math.min(...parts.map((b) => b.x0)),
    y0: Math.min(...parts.map((b) => b.y0)),
    x1: Math.max(...parts.map((b) => b.x1)),
    y1: Math.max(...parts.map((b) => b.y1))
  }
}

/** Whether the mask is set at a point given in units; outside the image it is not. */
export const at = (picture: Picture, mask: Mask, x: number, y: number): boolean => {
  const [u, v] = [Math.floor(x * picture.unit), Math.floor(y * picture.unit)]
  return u >= 0 && v >= 0 && u < picture.width && v < picture.height && mask[v * picture.width + u] === 1
}

/** How many separate runs of at least `least` units a row of the mask has between x0 and x1. */
export const runs = (picture: Picture, mask: Mask, y: number, x0: number, x1: number, least = 1): number => {
  let count = 0
  let length = 0
  for (let x = x0 + 0.5 / picture.unit; x <= x1 + 1; x += 1 / picture.unit) {
    if (x < x1 && at(picture, mask, x, y)) {
      length += 1 / picture.unit
    } else {
      if (length >= least) count += 1
      length = 0
    }
  }
  return count
}

const angles = Array.from({ length: 24 }, (_, k) => [Math.cos((k * Math.PI) / 12), Math.sin((k * Math.PI) / 12)] as const)

/** Share of a circle that the mask covers; 0 as soon as it must be less than `least`. */
const coverage = (picture: Picture, mask: Mask, cx: number, cy: number, r: number, least = 0): number => {
  let hits = angles.length
  for (const [c, s] of angles) {
    if (at(picture, mask, cx + r * c, cy + r * s)) continue
    hits -= 1
    if (hits < least * angles.length) return 0
  }
  return hits / angles.length
}

/**
 * Circles drawn in the mask, rings or discs, of radius 3..18, best first, none overlapping another. The radius of a
 * ring is that of the middle of its line; of a disc, that of its edge less about one.
 */
export const rings = (picture: Picture, mask: Mask): ReadonlyArray<Ring> => {
  const found: Array<Ring & { readonly rank: number }> = []
  const box = whole(picture, mask)
  if (box === undefined) return []
  for (let r = 3; r <= 18; r++) {
    for (let cy = Math.ceil(box.y0 + r - 3); cy <= box.y1 - r + 3; cy++) {
      for (let cx = Math.ceil(box.x0 + r - 3); cx <= box.x1 - r + 3; cx++) {
        // Two opposite points first: most centres fail here.
        if (!at(picture, mask, cx - r, cy) && !at(picture, mask, cx + r, cy)) continue
        const on = coverage(picture, mask, cx, cy, r, 0.75)
        if (on === 0) continue
        const out = coverage(picture, mask, cx, cy, r + 3.2)
        if (out > 0.5) continue
        const near = coverage(picture, mask, cx, cy, r - 1) + coverage(picture, mask, cx, cy, r + 1)
        found.push({ cx, cy, r, quality: on * (1 - Math.max(0, out - 0.15)), rank: on + 0.25 * near - 0.7 * out + 0.01 * r })
      }
    }
  }
  found.sort((a, b) => b.rank - a.rank)
  const kept: Array<Ring> = []
  for (const { cx, cy, quality, r } of found) {
    if (kept.every((k) => Math.hypot(k.cx - cx, k.cy - cy) > 0.9 * (k.r + r))) kept.push({ cx, cy, r, quality })
    if (kept.length === 6) break
  }
  return kept
}
