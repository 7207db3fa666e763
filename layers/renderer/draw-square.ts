/**
 * Draws with resvg, which may abort, hang or eat memory: hostile drawings are drawn in a child process, a user's own
 * anywhere.
 */
import { Resvg } from "@resvg/resvg-js"
import { embedded } from "../../src/system/installed.ts"

/** The only font, no matter which family a drawing names: pictures must not depend on the machine. */
const font = {
  loadSystemFonts: false,
  fontFiles: [embedded("font/DejaVuSans.ttf")],
  defaultFontFamily: "DejaVu Sans"
}

/**
 * The drawing on white, as large as fits, centred if it is not square.
 *
 * @param size pixels of a side, an integer
 * @param letters whether letters are drawn; otherwise they leave nothing
 * @returns RGBA [size, size, 4]; throws what resvg throws
 */
export const drawSquare = (svg: string, size: number, letters = false): Uint8Array => {
  // Width first, then height, until the drawing stays within the square. Integers only, or resvg drops all options.
  const fit = (mode: "width" | "height") =>
    new Resvg(svg, {
      fitTo: { mode, value: size },
      background: "#ffffff",
      font: letters ? font : { loadSystemFonts: false },
      logLevel: "off"
    })
  const wide = fit("width")
  const { height, pixels, width } = (wide.height > wide.width ? fit("height") : wide).render()
  if (Math.max(width, height) !== size) throw new Error(`it came out as ${width} x ${height}`)
  return width === height ? pixels : centred(pixels, width, height, size)
}

/** A drawing that is not square, in the middle of a white square. */
const centred = (pixels: Uint8Array, width: number, height: number, size: number): Uint8Array => {
  const out = new Uint8Array(size * size * 4).fill(255)
  const [left, top] = [(size - width) >> 1, (size - height) >> 1]
  for (let y = 0; y < height; y++) {
    out.set(pixels.subarray(y * width * 4, (y + 1) * width * 4), ((y + top) * size + left) * 4)
  }
  return out
}
