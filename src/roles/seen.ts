/**
 * What a program sees of a drawing, as one line of text: for a critic without eyes. Of a picture, its blobs of one
 * colour, with colour, size and box; of text that did not become one, why.
 */
import type { Picture, Rendering } from "../domain.ts"
import { resize } from "../drawing/resize.ts"
import { type Blob, blobs, maskOf, readImage } from "../scenes/pixels.ts"
import { type Colour, colours } from "../scenes/grammar.ts"

/** A connected part of one colour. */
export interface SeenBlob extends Blob {
  readonly colour: Colour
}

/** Pixels of a side that are looked at: a unit each. */
const side = 64
/** Blobs of fewer square units are edges and dots; a picture that was shrunk has broader edges, and pink ones around red. */
const least = { own: 3, shrunk: 5 }
/** Most blobs that are told of. */
const most = 12

/** Largest first; the nearest of ten named colours each. Time: linear in the pixels. */
export const seenBlobs = ({ height, rgba, width }: Pick<Picture, "height" | "rgba" | "width">): ReadonlyArray<SeenBlob> => {
  const isOwn = width === side && height === side
  const small = isOwn ? rgba : resize(rgba, width, height, side, side, "box")
  const image = readImage({ width: side, height: side, rgba: small })
  return colours
    .flatMap((colour) => blobs(image, maskOf(image, colour), isOwn ? least.own : least.shrunk).map((blob): SeenBlob => ({ ...blob, colour })))
    .sort((a, b) => b.area - a.area)
}

const told = ({ area, colour, x0, x1, y0, y1 }: SeenBlob): string =>
  `${colour} ${[x0, y0, x1, y1].map((n) => Math.round(n)).join(" ")} of ${Math.round(area)}`

/**
 * `red 10 12 40 30 of 415; black ...`: for each blob the box (left, top, right, bottom) and the area that it covers, in
 * 64ths of the picture's width; how many more there are; or `nothing`.
 */
export const seenIn = (picture: Pick<Picture, "height" | "rgba" | "width">): string => {
  const all = seenBlobs(picture)
  if (all.length === 0) return "nothing"
  const more = all.length > most ? [`and ${all.length - most} smaller ones`] : []
  return [...all.slice(0, most).map(told), ...more].join("; ")
}

/** `seenIn` of the picture, or why there is none: `no picture: malformed`. */
export const seenOf = (rendering: Rendering): string =>
  rendering._tag === "Rendered" ? seenIn(rendering.picture) : `no picture: ${rendering.reason}`
