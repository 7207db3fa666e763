/**
 * Renderer of one centred `<circle r fill>` on a 100 x 100 canvas, as layers/sampler/fake.ts draws it: real pixels
 * without native code, for tests and examples. It rejects everything else.
 */
import { createHash } from "node:crypto"
import { Effect, Layer } from "effect"
import { Picture, type Rendering } from "../../src/domain.ts"
import { Renderer } from "../../src/stages/Renderer.ts"

export interface RendererCirclesOptions {
  /** Pixels a side. Default 32. */
  readonly size?: number
  /** Milliseconds a drawing takes. Default 0. */
  readonly delay?: number
}

const paint = (radius: number, fill: string, size: number): Picture => {
  const colour = [1, 3, 5].map((at) => Number.parseInt(fill.slice(at, at + 2), 16))
  const rgba = new Uint8Array(size * size * 4).fill(255)
  const reach = (radius / 100) * size
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (Math.hypot(x + 0.5 - size / 2, y + 0.5 - size / 2) <= reach) rgba.set(colour, (y * size + x) * 4)
    }
  }
  return new Picture({ hash: createHash("sha256").update(rgba).digest("hex"), width: size, height: size, rgba })
}

export const layer = ({ delay = 0, size = 32 }: RendererCirclesOptions = {}) => {
  const draw = (svg: string): Rendering => {
    if (!svg.includes("</svg>")) return { _tag: "Rejected", reason: "no-svg", detail: "cut off" }
    const [, radius, fill] = /<circle cx="50" cy="50" r="([\d.]+)" fill="(#[\da-f]{6})"\/>/.exec(svg) ?? []
    if (radius === undefined || fill === undefined) return { _tag: "Rejected", reason: "forbidden", detail: "no circle" }
    return { _tag: "Rendered", picture: paint(Number(radius), fill, size) }
  }
  return Layer.succeed(Renderer, {
    name: "circles",
    size,
    render: (svg) => Effect.delay(Effect.sync(() => draw(svg)), delay)
  })
}
