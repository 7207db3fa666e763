/** The plane figures, and the masks that recognise a blob of pixels as one of them. */
import { type Figure, figures, type Thing } from "./grammar.ts"
import { circle, ellipse, filled, polygon, rect, type Shape } from "./shape.ts"

/** Corners of the figures with straight sides, in units of half a width: x y of each, in the order of one stroke. */
const corners = {
  // Five points suffice under the nonzero rule.
  star: [0, 2, 4, 1, 3].flatMap((k) => [
    1.15 * Math.sin((2 * Math.PI * k) / 5),
    -1.15 * Math.cos((2 * Math.PI * k) / 5) + 0.1
  ]),
  triangle: [0, -1, 1, 0.85, -1, 0.85],
  diamond: [0, -1.15, 0.8, 0, 0, 1.15, -0.8, 0],
  arrow: [0, -1.1, 1, 0, 0.4, 0, 0.4, 1, -0.4, 1, -0.4, 0, -1, 0],
  bolt: [0.35, -1.2, -0.85, 0.25, -0.1, 0.25, -0.35, 1.2, 0.85, -0.25, 0.1, -0.25],
  house: [0, -1.1, 1, -0.1, 0.7, -0.1, 0.7, 1, -0.7, 1, -0.7, -0.1, -1, -0.1],
  // Two tiers of a fir.
  tree: [0, -1.15, 0.65, -0.2, 0.35, -0.2, 1, 0.95, -1, 0.95, -0.35, -0.2, -0.65, -0.2],
  crown: [-1.1, -0.8, -0.5, 0, 0, -1, 0.5, 0, 1.1, -0.8, 0.85, 0.9, -0.85, 0.9],
  // A cloth with a notch, on a pole at its left.
  flag: [-0.8, -1.1, 1, -1.1, 0.5, -0.55, 1, 0, -0.4, 0, -0.4, 1.15, -0.8, 1.15],
  // A sail over a hull.
  boat: [0, -1.15, 0.75, 0.25, 1.15, 0.25, 0.65, 1, -0.65, 1, -1.15, 0.25, -0.05, 0.25],
  hat: [-0.6, -0.9, 0.6, -0.9, 0.6, 0.3, 1.15, 0.3, 1.15, 0.8, -1.15, 0.8, -1.15, 0.3, -0.6, 0.3]
} satisfies Partial<Record<Figure, ReadonlyArray<number>>>
const heartPath = [0, -0.4, 0.6, -1.5, 1.05, -0.35, 0, 1, -1.05, -0.35, -0.6, -1.5, 0, -0.4]
const squareHalf = 0.9
/** A crescent: out along its back, home along its hollow. */
const moonPath = [0.6, -1.1, -0.85, -1.1, -0.85, 0, -0.85, 1.1, 0.6, 1.1, -0.15, 0.7, -0.15, 0, -0.15, -0.7, 0.6, -1.1]
/** Half-axes of an oval. */
const ovalAxes = [1.15, 0.65] as const

const around = (numbers: ReadonlyArray<number>, cx: number, cy: number, r: number): Array<number> =>
  numbers.map((n, i) => Math.round(i % 2 === 0 ? cx + n * r : cy + n * r))

/** A figure about (cx, cy) whose half-width is about `r`. */
export const drawFigure = (part: string, { colour, figure }: Thing, cx: number, cy: number, r: number): Shape => {
  switch (figure) {
    case "circle":
      return circle(part, cx, cy, r, colour)
    case "square": {
      const side = Math.round(2 * squareHalf * r)
      return rect(part, Math.round(cx - side / 2), Math.round(cy - side / 2), side, side, colour)
    }
    case "oval":
      return ellipse(part, cx, cy, Math.round(ovalAxes[0] * r), Math.round(ovalAxes[1] * r), colour)
    case "moon": {
      const d = around(moonPath, cx, cy, r)
      const curves = [2, 6, 10, 14].map((i) => `Q${d.slice(i, i + 4).join(" ")}`)
      return filled(part, `M${d[0]} ${d[1]}${curves.join("")}Z`, colour)
    }
    case "heart": {
      const d = around(heartPath, cx, cy, r)
      const [a, b, c] = [d.slice(2, 6).join(" "), `${d[6]} ${d[7]}`, `${d[8]} ${d[9]}`]
      return filled(part, `M${d[0]} ${d[1]}Q${a}L${b}L${c}Q${d.slice(10).join(" ")}Z`, colour)
    }
    default:
      return polygon(part, around(corners[figure], cx, cy, r), colour)
  }
}

const curve = (p: ReadonlyArray<number>, q: ReadonlyArray<number>, r: ReadonlyArray<number>): Array<number> =>
  [0, 0.2, 0.4, 0.6, 0.8].flatMap((t) => {
    const u = 1 - t
    return [0, 1].map((i) => u * u * p[i]! + 2 * u * t * q[i]! + t * t * r[i]!)
  })

const outline = (figure: Figure): ReadonlyArray<number> => {
  switch (figure) {
    case "circle":
      return Array.from({ length: 32 }, (_, k) => (k * Math.PI) / 16).flatMap((a) => [Math.cos(a), Math.sin(a)])
    case "square":
      return [-1, -1, 1, -1, 1, 1, -1, 1]
    case "oval":
      return outline("circle").map((n, i) => n * ovalAxes[i % 2]!)
    case "moon": {
      const at = (i: number) => moonPath.slice(2 * i, 2 * i + 2)
      return [0, 2, 4, 6].flatMap((i) => curve(at(i), at(i + 1), at(i + 2)))
    }
    case "heart": {
      const at = (i: number) => heartPath.slice(2 * i, 2 * i + 2)
      return [...curve(at(0), at(1), at(2)), ...at(2), ...at(3), ...curve(at(4), at(5), at(6))]
    }
    default:
      return corners[figure]
  }
}

const winding = (points: ReadonlyArray<number>, x: number, y: number): number => {
  let turns = 0
  for (let i = 0; i < points.length; i += 2) {
    const j = (i + 2) % points.length
    const [ax, ay, bx, by] = [points[i]!, points[i + 1]!, points[j]!, points[j + 1]!]
    if (ay <= y !== by <= y && (x - ax) * (by - ay) * Math.sign(by - ay) < (y - ay) * (bx - ax) * Math.sign(by - ay)) {
      turns += by > ay ? 1 : -1
    }
  }
  return turns
}

/** Cells per side of a figure's mask. */
export const maskSide = 16

interface Template {
  /** Which cells of the bounding box, split into `maskSide` rows and columns, are covered. */
  readonly cells: ReadonlyArray<boolean>
  /** Width over height. */
  readonly aspect: number
}

const template = (figure: Figure): Template => {
  const points = outline(figure)
  const xs = points.filter((_, i) => i % 2 === 0)
  const ys = points.filter((_, i) => i % 2 === 1)
  const [x0, y0] = [Math.min(...xs), Math.min(...ys)]
  const [w, h] = [Math.max(...xs) - x0, Math.max(...ys) - y0]
  const cells = Array.from({ length: maskSide * maskSide }, (_, k) => {
    const x = x0 + (((k % maskSide) + 0.5) / maskSide) * w
    const y = y0 + ((Math.floor(k / maskSide) + 0.5) / maskSide) * h
    return winding(points, x, y) !== 0
  })
  return { cells, aspect: w / h }
}

export const templates = Object.fromEntries(figures.map((figure) => [figure, template(figure)])) as Record<Figure, Template>
