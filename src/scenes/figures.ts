/** The plane figures, and the masks that recognise a blob of pixels as one of them. */
import type { Figure, Thing } from "./grammar.ts"
import { circle, ellipse, filled, polygon, rect, type Shape } from "./shape.ts"

/** Corners of a five-pointed star in the order of one stroke, so that five points suffice under the nonzero rule. */
const starCorners = [0, 2, 4, 1, 3].flatMap((k) => [
  1.15 * Math.sin((2 * Math.PI * k) / 5),
  -1.15 * Math.cos((2 * Math.PI * k) / 5) + 0.1
])
const triangleCorners = [0, -1, 1, 0.85, -1, 0.85]
const diamondCorners = [0, -1.15, 0.8, 0, 0, 1.15, -0.8, 0]
const heartPath = [0, -0.4, 0.6, -1.5, 1.05, -0.35, 0, 1, -1.05, -0.35, -0.6, -1.5, 0, -0.4]
const squareHalf = 0.9
const arrowCorners = [0, -1.1, 1, 0, 0.4, 0, 0.4, 1, -0.4, 1, -0.4, 0, -1, 0]
const boltCorners = [0.35, -1.2, -0.85, 0.25, -0.1, 0.25, -0.35, 1.2, 0.85, -0.25, 0.1, -0.25]
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
    case "triangle":
      return polygon(part, around(triangleCorners, cx, cy, r), colour)
    case "star":
      return polygon(part, around(starCorners, cx, cy, r), colour)
    case "diamond":
      return polygon(part, around(diamondCorners, cx, cy, r), colour)
    case "oval":
      return ellipse(part, cx, cy, Math.round(ovalAxes[0] * r), Math.round(ovalAxes[1] * r), colour)
    case "arrow":
      return polygon(part, around(arrowCorners, cx, cy, r), colour)
    case "bolt":
      return polygon(part, around(boltCorners, cx, cy, r), colour)
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
  }
}

const curve = (p: ReadonlyArray<number>, q: ReadonlyArray<number>, r: ReadonlyArray<number>): Array<number> =>
  [0, 0.2, 0.4, 0.6, 0.8].flatMap((t) => {
    const u = 1 - t
    return [0, 1].map((i) => u * u * p[i]! + 2 * u * t * q[i]! + t * t * r[i]!)
  })

const outline = (figure: Figure): ReadonlyArray<number> => {
  switch (figure) {
    case "oval":
      return outline("circle").map((n, i) => n * ovalAxes[i % 2]!)
    case "arrow":
      return arrowCorners
    case "bolt":
      return boltCorners
    case "moon": {
      const at = (i: number) => moonPath.slice(2 * i, 2 * i + 2)
      return [0, 2, 4, 6].flatMap((i) => curve(at(i), at(i + 1), at(i + 2)))
    }
    case "circle":
      return Array.from({ length: 32 }, (_, k) => (k * Math.PI) / 16).flatMap((a) => [Math.cos(a), Math.sin(a)])
    case "square":
      return [-1, -1, 1, -1, 1, 1, -1, 1]
    case "triangle":
      return triangleCorners
    case "star":
      return starCorners
    case "diamond":
      return diamondCorners
    case "heart": {
      const at = (i: number) => heartPath.slice(2 * i, 2 * i + 2)
      return [...curve(at(0), at(1), at(2)), ...at(2), ...at(3), ...curve(at(4), at(5), at(6))]
    }
  }
}

const winding = (corners: ReadonlyArray<number>, x: number, y: number): number => {
  let turns = 0
  for (let i = 0; i < corners.length; i += 2) {
    const j = (i + 2) % corners.length
    const [ax, ay, bx, by] = [corners[i]!, corners[i + 1]!, corners[j]!, corners[j + 1]!]
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
  const corners = outline(figure)
  const xs = corners.filter((_, i) => i % 2 === 0)
  const ys = corners.filter((_, i) => i % 2 === 1)
  const [x0, y0] = [Math.min(...xs), Math.min(...ys)]
  const [w, h] = [Math.max(...xs) - x0, Math.max(...ys) - y0]
  const cells = Array.from({ length: maskSide * maskSide }, (_, k) => {
    const x = x0 + (((k % maskSide) + 0.5) / maskSide) * w
    const y = y0 + ((Math.floor(k / maskSide) + 0.5) / maskSide) * h
    return winding(corners, x, y) !== 0
  })
  return { cells, aspect: w / h }
}

export const templates: Record<Figure, Template> = {
  circle: template("circle"),
  square: template("square"),
  triangle: template("triangle"),
  star: template("star"),
  heart: template("heart"),
  diamond: template("diamond"),
  oval: template("oval"),
  arrow: template("arrow"),
  moon: template("moon"),
  bolt: template("bolt")
}
