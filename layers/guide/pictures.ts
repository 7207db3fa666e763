/** Pictures in the form in which models get them. */
import type { Picture } from "../../src/domain.ts"
import { encodePng } from "../../src/drawing/png.ts"

/**
 * Pictures with a smaller side than this are enlarged by a whole factor: a model sees little in a tiny picture. Pixels.
 */
const leastSide = 224

const factorOf = ({ height, width }: Picture): number => Math.max(1, Math.ceil(leastSide / Math.max(width, height)))

/** Size of the picture as it is sent, pixels. */
export const sentSize = (picture: Picture): { readonly width: number; readonly height: number } => {
  const factor = factorOf(picture)
  return { width: picture.width * factor, height: picture.height * factor }
}

/** Base64 of the PNG that is sent. */
export const pngOf = (picture: Picture): string => {
  const { rgba, width } = picture
  const factor = factorOf(picture)
  const { height: h, width: w } = sentSize(picture)
  const from = new Uint32Array(Uint8Array.from(rgba).buffer)
  const to = new Uint32Array(w * h)
  for (let y = 0; y < h; y++) {
    const row = Math.floor(y / factor) * width
    for (let x = 0; x < w; x++) to[y * w + x] = from[row + Math.floor(x / factor)]!
  }
  return Buffer.from(encodePng(w, h, new Uint8Array(to.buffer))).toString("base64")
}

/** Tokens that the sent picture counts as, by Claude's documented rule of thumb: pixels / 750. */
export const pictureTokens = (picture: Picture): number => {
  const { height, width } = sentSize(picture)
  return Math.ceil(width * height / 750)
}
