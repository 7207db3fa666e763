/**
 * The few SVG elements the drawings use, as data: flaws move and remove them by the name of the part they depict.
 * Lengths are viewBox units; x grows to the right, y downwards.
 */

export const svgOpen = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">`

/** Side of the square viewBox. */
export const canvas = 64

export interface Shape {
  /** What the shape depicts, e.g. "wheel", "beak". */
  readonly part: string
  readonly tag: "circle" | "ellipse" | "rect" | "path" | "polygon"
  /**
   * circle: cx cy r; ellipse: cx cy rx ry; rect: x y width height; path: the coordinates in the order of `commands`;
   * polygon: x y of each corner.
   */
  readonly numbers: ReadonlyArray<number>
  /** Path commands out of M L Q Z, e.g. "MLQZ". */
  readonly commands?: string
  /** A colour, "none", or "" if the attribute can be left out. */
  readonly fill: string
  readonly stroke?: string
  readonly width?: number
}

export type Drawing = ReadonlyArray<Shape>

/** How a thing is built. What is misshapen has as many shapes and numbers as what is good, so only the eye tells. */
export type Build = "good" | "misshapen"

export const circle = (part: string, cx: number, cy: number, r: number, fill: string): Shape => ({
  part,
  tag: "circle",
  numbers: [cx, cy, r],
  fill
})

export const ring = (part: string, cx: number, cy: number, r: number, stroke: string, width: number): Shape => ({
  part,
  tag: "circle",
  numbers: [cx, cy, r],
  fill: "none",
  stroke,
  width
})

export const ellipse = (part: string, cx: number, cy: number, rx: number, ry: number, fill: string): Shape => ({
  part,
  tag: "ellipse",
  numbers: [cx, cy, rx, ry],
  fill
})

export const rect = (part: string, x: number, y: number, width: number, height: number, fill: string): Shape => ({
  part,
  tag: "rect",
  numbers: [x, y, width, height],
  fill
})

export const polygon = (part: string, numbers: ReadonlyArray<number>, fill: string): Shape => ({
  part,
  tag: "polygon",
  numbers,
  fill
})

const readPath = (d: string): { numbers: ReadonlyArray<number>; commands: string } => ({
  numbers: (d.match(/-?\d+(\.\d+)?/g) ?? []).map(Number),
  commands: d.replace(/[^MLQZ]/g, "")
})

/** A filled path; `d` may use M L Q Z, absolute, each with its letter. */
export const filled = (part: string, d: string, fill: string): Shape => ({ part, tag: "path", ...readPath(d), fill })

/** An open path drawn as a line. A single straight one encloses nothing, so it needs no `fill="none"`. */
export const stroked = (part: string, d: string, stroke: string, width: number): Shape => ({
  part,
  tag: "path",
  ...readPath(d),
  fill: /^M[^LQ]*L[^LQM]*$/.test(d) ? "" : "none",
  stroke,
  width
})

const positional = (shape: Shape): number => {
  switch (shape.tag) {
    case "circle":
    case "ellipse":
    case "rect":
      return 2
    case "path":
    case "polygon":
      return shape.numbers.length
  }
}

/** Multiplies by `scale` about the origin, then shifts by (dx, dy). */
export const place = (drawing: Drawing, scale: number, dx: number, dy: number): Drawing =>
  drawing.map((shape) => {
    const coordinates = positional(shape)
    return {
      ...shape,
      numbers: shape.numbers.map((n, i) => n * scale + (i < coordinates ? (i % 2 === 0 ? dx : dy) : 0)),
      ...(shape.width === undefined ? {} : { width: shape.width * scale })
    }
  })

export interface Box {
  readonly x0: number
  readonly y0: number
  readonly x1: number
  readonly y1: number
}

const extent = (shape: Shape): Box => {
  const n = shape.numbers
  const half = (shape.width ?? 0) / 2
  switch (shape.tag) {
    case "circle":
    case "ellipse": {
      const rx = n[2]! + half
      const ry = (n[3] ?? n[2]!) + half
      return { x0: n[0]! - rx, y0: n[1]! - ry, x1: n[0]! + rx, y1: n[1]! + ry }
    }
    case "rect":
      return { x0: n[0]! - half, y0: n[1]! - half, x1: n[0]! + n[2]! + half, y1: n[1]! + n[3]! + half }
    case "path":
    case "polygon": {
      const xs = n.filter((_, i) => i % 2 === 0)
      const ys = n.filter((_, i) => i % 2 === 1)
      return {
        x0: Math.min(...xs) - half,
        y0: Math.min(...ys) - half,
        x1: Math.max(...xs) + half,
        y1: Math.max(...ys) + half
      }
    }
  }
}

/** The box around a drawing, with strokes and the control points of curves. */
export const bounds = (drawing: Drawing): Box => {
  const boxes = drawing.map(extent)
  return {
    x0: Math.min(...boxes.map((b) => b.x0)),
    y0: Math.min(...boxes.map((b) => b.y0)),
    x1: Math.max(...boxes.map((b) => b.x1)),
    y1: Math.max(...boxes.map((b) => b.y1))
  }
}

/** Numbers side by side; a minus sign parts them as well as a space does. */
const joined = (numbers: ReadonlyArray<number>): string =>
  numbers.map((n, i) => (i > 0 && n >= 0 ? ` ${n}` : String(n))).join("")

/**
 * A path's `d`, relative after its start: the same figure has the same numbers wherever it stands. A letter is not
 * repeated.
 *
 * @param corners whole numbers, in the order of `commands`
 */
const pathData = (commands: string, corners: ReadonlyArray<number>): string => {
  let [at, x, y, before] = [0, 0, 0, ""]
  let out = ""
  for (const command of commands) {
    if (command === "Z") {
      out += "z"
    } else {
      const taken = corners.slice(at, at + (command === "Q" ? 4 : 2))
      at += taken.length
      const numbers = command === "M" ? taken : taken.map((n, i) => n - (i % 2 === 0 ? x : y))
      const letter = command === "M" ? "M" : command.toLowerCase()
      out += letter !== before ? letter + joined(numbers) : (numbers[0]! >= 0 ? " " : "") + joined(numbers)
      ;[x, y] = taken.slice(-2) as [number, number]
    }
    before = command === "M" ? "M" : command.toLowerCase()
  }
  return out
}

const attributeNames = {
  circle: ["cx", "cy", "r"],
  ellipse: ["cx", "cy", "rx", "ry"],
  rect: ["x", "y", "width", "height"]
} as const

const element = (shape: Shape): string => {
  const numbers = shape.numbers.map(Math.round)
  // Corners are drawn as a path: a polygon has no relative coordinates.
  const tag = shape.tag === "polygon" ? "path" : shape.tag
  let geometry: string
  switch (shape.tag) {
    case "path":
      geometry = `d="${pathData(shape.commands ?? "", numbers)}"`
      break
    case "polygon":
      geometry = `d="${pathData("M" + "L".repeat(numbers.length / 2 - 1) + "Z", numbers)}"`
      break
    default:
      geometry = attributeNames[shape.tag].map((name, i) => `${name}="${numbers[i]}"`).join(" ")
  }
  const fill = shape.fill === "" ? "" : ` fill="${shape.fill}"`
  const width = Math.max(2, Math.round(shape.width ?? 2))
  const stroke = shape.stroke === undefined ? "" : ` stroke="${shape.stroke}" stroke-width="${width}"`
  return `<${tag} ${geometry}${fill}${stroke}/>`
}

/** The document, with every number rounded to an integer. */
export const toSvg = (drawing: Drawing): string => svgOpen + drawing.map(element).join("") + "</svg>"
