/**
 * The process that renders: resvg may abort, hang or eat memory here without harm. It holds no secret, reads no file,
 * and ends when its parent does.
 */
import * as fs from "node:fs"
import { Worker } from "node:worker_threads"
import { Resvg } from "@resvg/resvg-js"

export interface RenderCall {
  readonly id: number
  readonly svg: string
  /** Pixels of a side. */
  readonly size: number
}
export type RenderAnswer =
  | { readonly id: number; readonly runs: Uint8Array }
  | { readonly id: number; readonly error: string }
  /** Sent once, before anything else. */
  | { readonly ready: true }

/**
 * Moving 200 kB between processes takes about as long as drawing them, so pixels travel as runs: a uint32 holds red,
 * green and blue where RGBA has them, and in place of alpha, which is always 255, how many more pixels are the same. That
 * is never longer than the pixels, and for flat colours ten to a hundred times shorter.
 *
 * @returns a view of memory that the next call writes over; undefined when a pixel is not opaque
 */
const toRuns = (rgba: Uint8Array): Uint8Array | undefined => {
  const aligned = rgba.byteOffset % 4 === 0 ? rgba : Uint8Array.from(rgba)
  const pixels = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4)
  if (scratch.length < pixels.length) scratch = new Uint32Array(pixels.length)
  let count = 0
  for (let i = 0; i < pixels.length;) {
    const pixel = pixels[i]!
    if (pixel >>> 24 !== 255) return undefined
    const start = i
    const most = Math.min(pixels.length, start + 256)
    do i++
    while (i < most && pixels[i] === pixel)
    scratch[count++] = (pixel & 0xffffff) | (i - start - 1) << 24
  }
  return new Uint8Array(scratch.buffer, 0, count * 4)
}
let scratch = new Uint32Array(0)

const render = ({ id, size, svg }: RenderCall): RenderAnswer => {
  try {
    const resvg = new Resvg(svg, {
      // Width first, then height, whichever keeps the drawing within the square; integers only, or resvg drops all options.
      fitTo: { mode: "width", value: size },
      background: "#ffffff",
      font: { loadSystemFonts: false },
      logLevel: "off"
    })
    const tall = resvg.height > resvg.width
    const fitted = tall
      ? new Resvg(svg, {
        fitTo: { mode: "height", value: size },
        background: "#ffffff",
        font: { loadSystemFonts: false },
        logLevel: "off"
      })
      : resvg
    const image = fitted.render()
    const { height, pixels, width } = image
    if (Math.max(width, height) !== size) return { id, error: `it came out as ${width} x ${height}` }
    const runs = toRuns(width === height ? pixels : centred(pixels, width, height, size))
    return runs === undefined ? { id, error: "it came out transparent" } : { id, runs }
  } catch (cause) {
    return { id, error: String((cause as Error).message ?? cause).split("\n")[0]!.slice(0, 200) }
  }
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

try {
  fs.writeFileSync("/proc/self/oom_score_adj", "1000") // when memory runs out, this process goes first
} catch { /* not Linux */ }
process.on("disconnect", () => process.exit(0))
// Ctrl-C in a terminal reaches every process of the group. The parent decides when this one ends; a drawing that was
// interrupted by the keyboard must not look like one that crashed the renderer.
process.on("SIGINT", () => {})
// A drawing without end also keeps this process from hearing that its parent is gone, so a second thread looks.
new Worker(
  `const parent = process.ppid
  setInterval(() => process.ppid !== parent && process.kill(process.pid, "SIGKILL"), 500)`,
  { eval: true, stdout: false, stderr: false }
).unref()
process.on("message", (call: RenderCall) => process.send!(render(call)))
process.send!({ ready: true } satisfies RenderAnswer)
