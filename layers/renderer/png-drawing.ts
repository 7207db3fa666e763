/**
 * A PNG as resvg can draw it: the only drawing that holds an image. It is made here, from nothing but the PNG's own
 * bytes.
 */

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
const longestSide = 4096

/** Its size in pixels, from its header; throws if it is not a PNG, or is larger than the largest that is drawn. */
export const pngSize = (png: Buffer): { readonly width: number; readonly height: number } => {
  if (png.length < 24 || !png.subarray(0, 8).equals(signature)) throw new Error("it is not a PNG")
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)] // IHDR is the first chunk
  if (Math.min(width, height) < 1 || Math.max(width, height) > longestSide) {
    throw new Error(`it has ${width} x ${height} pixels, and ${longestSide} are the most`)
  }
  return { width, height }
}

/** A drawing that shows it pixel by pixel; throws as `pngSize` does. */
export const pngDrawing = (png: Buffer): string => {
  const { height, width } = pngSize(png)
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    `<image width="${width}" height="${height}" href="data:image/png;base64,${png.toString("base64")}"/></svg>`
}
