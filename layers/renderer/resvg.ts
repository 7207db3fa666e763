/**
 * Renderer: the validity gate, then resvg in a pool of child processes (pool.ts). A hostile drawing ends a child, never
 * the run. The result is remembered (stages/KilledDrawings.ts), so the drawing is not tried twice.
 */
import { createHash } from "node:crypto"
import * as os from "node:os"
import { Effect, Layer, Option, Semaphore } from "effect"
import { Picture, type Rendering } from "../../src/domain.ts"
import { Renderer, RendererUnavailable, type RenderOptions } from "../../src/stages/Renderer.ts"
import { extractSvg, gate } from "../../src/drawing/gate.ts"
import { forgetful, KilledDrawings } from "../../src/stages/KilledDrawings.ts"
import { type PoolOptions, type PoolResult, RendererPool } from "./pool.ts"

export interface RendererResvgOptions extends Partial<PoolOptions> {
  /** False skips the gate: for tests of the pool itself. Default true. */
  readonly gate?: boolean
}

export const defaults: PoolOptions = {
  processes: Math.min(4, Math.max(1, os.availableParallelism() - 1)),
  spares: 1,
  size: 224,
  deadline: 2,
  patience: 20,
  memory: 512e6,
  recycleAfter: 5000
}

const writesLetters = /<(?:[\w-]+:)?text\b/

/** Share of pixels that must differ from the most common colour for a drawing to count as one. */
const leastInk = 0.005
/** Drawings in work and waiting, for each process; callers beyond that wait outside the pool. */
const queued = 8

/**
 * Whether nothing, or almost nothing, can be seen: nearly all pixels have one colour, white or not, or all colours are
 * nearly the same. Colours count as one if their channels agree in their upper 4 bits, so a page of #fefefe on white is
 * blank.
 */
const isBlank = (rgba: Uint8Array): boolean => {
  const bins = new Uint32Array(4096)
  let [low, high] = [765, 0]
  let spread = 0
  let bin = 0
  for (let i = 0; i < rgba.length; i += 4) {
    // Most pixels have the colour of the one before.
    if (i > 0 && rgba[i] === rgba[i - 4] && rgba[i + 1] === rgba[i - 3] && rgba[i + 2] === rgba[i - 2]) {
      bins[bin]!++
      continue
    }
    const [r, g, b] = [rgba[i]!, rgba[i + 1]!, rgba[i + 2]!]
    bin = (r >> 4) << 8 | (g >> 4) << 4 | b >> 4
    bins[bin]!++
    const sum = r + g + b
    if (sum < low) low = sum
    if (sum > high) high = sum
    const from = Math.abs(r - rgba[0]!) + Math.abs(g - rgba[1]!) + Math.abs(b - rgba[2]!)
    if (from > spread) spread = from
  }
  const pixels = rgba.length / 4
  return Math.max(high - low, spread) <= 24 || pixels - bins.reduce((a, b) => Math.max(a, b), 0) < leastInk * pixels
}

/** A picture that any working process can draw. */
const probe = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path d="M0 0h1v2h-1z"/></svg>`

const rejected = (reason: Extract<Rendering, { _tag: "Rejected" }>["reason"], detail: string): Rendering => ({
  _tag: "Rejected",
  reason,
  detail
})

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex")

/** SHA-256 of a drawing, hex. @param svg one svg element, as `extractSvg` finds it */
export const drawingHash = (svg: string): string => sha256(svg)

/**
 * Pictures are `size` x `size` pixels on white; a drawing that is not square is centred. Letters that pass the gate are
 * drawn in the embedded font, and the drawing is also rendered without them. Fails with `RendererUnavailable` while it
 * is built, if no process can be started, and later if the processes of one drawing are ended from outside again and
 * again. Killed drawings are remembered in the given `KilledDrawings`, else as long as the layer lives.
 */
export const layer = (given: RendererResvgOptions = {}) =>
  Layer.effect(
    Renderer,
    Effect.gen(function*() {
      const options = { ...defaults, ...given }
      const { size } = options
      const pool = yield* Effect.acquireRelease(
        Effect.try({
          try: () => new RendererPool(options),
          catch: (cause) =>
            new RendererUnavailable({ message: `No renderer process can be started: ${(cause as Error).message}.` })
        }),
        (pool) => Effect.promise(() => pool.close())
      )
      // Without this test, a machine that cannot load resvg would look like one where every drawing crashes.
      const first = yield* Effect.promise(() => pool.render(probe))
      if (first._tag !== "Pixels") {
        return yield* new RendererUnavailable({
          message: `The renderer process cannot draw a test picture of ${size} pixels (${
            first._tag === "Killed" ? first.detail : first.message
          }): check that @resvg/resvg-js is installed for this platform and that size is a whole number.`
        })
      }
      const places = yield* Semaphore.make(options.processes * queued)
      const killed = Option.getOrElse(yield* Effect.serviceOption(KilledDrawings), () => forgetful())
      const pictureOf = (rgba: Uint8Array) => new Picture({ hash: sha256(rgba), width: size, height: size, rgba })
      const toRendering = (result: Exclude<PoolResult, { readonly _tag: "Unavailable" }>): Rendering => {
        switch (result._tag) {
          case "Killed":
            return result
          case "Error":
            return rejected("render-error", result.message)
          case "Pixels":
            return isBlank(result.rgba)
              ? rejected("blank", "nothing, or next to nothing, is visible")
              : { _tag: "Rendered", picture: pictureOf(result.rgba) }
        }
      }
      const render = Effect.fn("Renderer.render")(function*(text: string, { allowText = false }: RenderOptions = {}) {
        yield* Effect.yieldNow // reading a drawing can take milliseconds: other work gets a turn between two
        const svg = extractSvg(text)
        if (svg === undefined) return rejected("no-svg", "there is no <svg> element, or it is cut off")
        const checked = given.gate === false ? { ok: true as const } : gate(svg, { allowText })
        if (!checked.ok) return rejected(checked.reason, checked.detail)
        const hash = drawingHash(svg)
        const known = yield* killed.recall(hash)
        if (known !== undefined) return known
        const drawn = Effect.fnUntraced(function*(letters: boolean) {
          const result = yield* places.withPermit(Effect.promise(() => pool.render(svg, letters)))
          if (result._tag === "Unavailable") {
            return yield* new RendererUnavailable({ message: `A drawing cannot be rendered: ${result.message}.` })
          }
          if (result._tag === "Killed") yield* killed.record(hash, result)
          return result
        })
        const letters = allowText && writesLetters.test(svg)
        const rendering = toRendering(yield* drawn(letters))
        if (!letters || rendering._tag !== "Rendered") return rendering
        // Even if the picture is blank: a drawing that is nothing but letters must be recognised.
        const bare = yield* drawn(false)
        return bare._tag === "Pixels" ? { ...rendering, bare: pictureOf(bare.rgba) } : toRendering(bare)
      })
      return Renderer.of({ name: "resvg", size, render })
    })
  )
