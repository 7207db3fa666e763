/**
 * Icons in the few SVG elements that a small policy can learn to write: circles, rectangles and one path, all with whole
 * numbers on the packages' own grid of 24 units. Arcs and cubic curves become quadratic ones, which need fewer numbers.
 */
import svgpath from "svgpath"
import { integer, type Random } from "../../src/engine/random.ts"

/** How every drawing begins. The policy is given it (`--prefill`) and never trained on it. */
export const prefill =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#000" stroke-width="2" stroke-linecap="round">`

/** Side of the viewBox. */
export const side = 24

/** An element as the packages list it: tag and attributes. */
export type Node = readonly [tag: string, attributes: Readonly<Record<string, string>>]

/** Absolute: M x y, L x y, Q x1 y1 x y or Z. */
export type Segment = readonly ["M" | "L", number, number] | readonly ["Q", number, number, number, number] | readonly ["Z"]

/** One stroke of the pen, in viewBox units. */
export type Part =
  | { readonly tag: "circle"; readonly numbers: readonly [cx: number, cy: number, r: number] }
  | { readonly tag: "rect"; readonly numbers: readonly [x: number, y: number, width: number, height: number, rx: number] }
  | { readonly tag: "path"; readonly segments: ReadonlyArray<Segment> }

type Point = readonly [x: number, y: number]

const middle = ([ax, ay]: Point, [bx, by]: Point): Point => [(ax + bx) / 2, (ay + by) / 2]
const apart = ([ax, ay]: Point, [bx, by]: Point): number => Math.hypot(ax - bx, ay - by)

/** A cubic curve may be off by so much, viewBox units, before it is cut in two. */
const tolerance = 0.35

/** Quadratic curves for one cubic: the best single one, or those of its halves. */
const quadratics = (a: Point, b: Point, c: Point, d: Point, cuts = 2): ReadonlyArray<Segment> => {
  const off = Math.sqrt(3) / 36 * Math.hypot(d[0] - 3 * c[0] + 3 * b[0] - a[0], d[1] - 3 * c[1] + 3 * b[1] - a[1])
  if (cuts === 0 || off < tolerance) {
    return [["Q", (3 * (b[0] + c[0]) - a[0] - d[0]) / 4, (3 * (b[1] + c[1]) - a[1] - d[1]) / 4, d[0], d[1]]]
  }
  const [ab, bc, cd] = [middle(a, b), middle(b, c), middle(c, d)]
  const [abc, bcd] = [middle(ab, bc), middle(bc, cd)]
  const half = middle(abc, bcd)
  return [...quadratics(a, ab, abc, half, cuts - 1), ...quadratics(half, bcd, cd, d, cuts - 1)]
}

/** The pieces of `d` in absolute letters, arcs kept, one list for each move of the pen. */
const strokes = (d: string): ReadonlyArray<ReadonlyArray<ReadonlyArray<string | number>>> => {
  const all: Array<Array<ReadonlyArray<string | number>>> = []
  let start: ReadonlyArray<string | number> = ["M", 0, 0]
  svgpath(d).unshort().abs().iterate((segment) => {
    if (segment[0] === "M") {
      start = [...segment]
      all.push([start])
    } else {
      // After a Z the pen stands where it began.
      if (all.at(-1)?.at(-1)?.[0] === "Z") all.push([start])
      all.at(-1)?.push([...segment])
    }
  })
  return all
}

/** A circle drawn as two half circles. */
const asCircle = (stroke: ReadonlyArray<ReadonlyArray<string | number>>): Part | undefined => {
  const [start, first, second, ...rest] = stroke
  if (first?.[0] !== "A" || second?.[0] !== "A" || rest.some(([letter]) => letter !== "Z")) return undefined
  const [a, b, end] = [start!.slice(1, 3), first.slice(6, 8), second.slice(6, 8)] as unknown as [Point, Point, Point]
  const r = Number(first[1])
  const round = [first, second].every((arc) => Math.abs(Number(arc[1]) - r) < 0.05 && Math.abs(Number(arc[2]) - r) < 0.05)
  return round && apart(a, end) < 0.1 && Math.abs(apart(a, b) - 2 * r) < 0.1
    ? { tag: "circle", numbers: [...middle(a, b), r] }
    : undefined
}

const curves = (stroke: ReadonlyArray<ReadonlyArray<string | number>>): ReadonlyArray<Segment> => {
  const d = stroke.map((segment) => segment.join(" ")).join(" ")
  const out: Array<Segment> = []
  let start: Point = [0, 0]
  svgpath(d).unarc().abs().iterate((segment, _, x, y) => {
    switch (segment[0]) {
      case "M":
        start = [segment[1], segment[2]]
        return void out.push(["M", ...start])
      case "L":
        return void out.push(["L", segment[1], segment[2]])
      case "H":
        return void out.push(["L", segment[1], y])
      case "V":
        return void out.push(["L", x, segment[1]])
      case "Q":
        return void out.push(["Q", segment[1], segment[2], segment[3], segment[4]])
      case "C":
        return void out.push(...quadratics([x, y], [segment[1], segment[2]], [segment[3], segment[4]], [segment[5], segment[6]]))
      case "Z":
      case "z":
        return void out.push(["Z"])
    }
  })
  return out
}

/** Where a segment ends; a Z ends where the path began. */
const endOf = (segment: Segment, start: Point): Point =>
  segment[0] === "Z" ? start : segment.slice(-2) as unknown as Point

/** Whether a curve rounds a corner as a quarter of a circle does: not squarer, not flatter, not the other way round. */
const rounds = (a: Point, control: Point, b: Point, corner: Point): boolean => {
  const half = middle(middle(a, control), middle(control, b))
  const centre: Point = [a[0] + b[0] - corner[0], a[1] + b[1] - corner[1]]
  return Math.abs(apart(centre, half) / Math.abs(a[0] - b[0]) - 1) < 0.08
}

/** A rectangle with round corners that was drawn as a path. */
const asRectangle = (segments: ReadonlyArray<Segment>): Part | undefined => {
  const corners = segments.filter(([letter]) => letter === "Q")
  const start = segments[0]!.slice(1) as unknown as Point
  const points = segments.map((segment) => endOf(segment, start))
  if (corners.length !== 4 || apart(points.at(-1)!, start) > 0.1) return undefined
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)]
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)]
  const near = (a: number, b: number) => Math.abs(a - b) < 0.1
  if (!points.every(([x, y]) => near(x, x0) || near(x, x1) || near(y, y0) || near(y, y1))) return undefined
  const isRound = (a: Point, control: Point, b: Point): boolean => {
    const corner: Point = [control[0] < (x0 + x1) / 2 ? x0 : x1, control[1] < (y0 + y1) / 2 ? y0 : y1]
    return rounds(a, control, b, corner)
  }
  let r: number | undefined
  for (let n = 1; n < segments.length; n++) {
    const [a, b] = [points[n - 1]!, points[n]!]
    const [dx, dy] = [Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])]
    const [letter, ...numbers] = segments[n]!
    if (letter === "Q") {
      if (!near(dx, dy) || (r !== undefined && !near(r, dx)) || !isRound(a, numbers as unknown as Point, b)) return undefined
      r = dx
    } else if (dx > 0.1 && dy > 0.1) return undefined
  }
  return r !== undefined && x1 - x0 >= 2 * r - 0.1 && y1 - y0 >= 2 * r - 0.1
    ? { tag: "rect", numbers: [x0, y0, x1 - x0, y1 - y0, r] }
    : undefined
}

const pathParts = (d: string): ReadonlyArray<Part> =>
  strokes(d).map((stroke) => {
    const circle = asCircle(stroke)
    if (circle !== undefined) return circle
    const segments = curves(stroke)
    return asRectangle(segments) ?? { tag: "path", segments }
  })

/** The parts of an icon, not yet rounded; undefined if it uses more than strokes: fills, opacity, other elements. */
export const partsOf = (nodes: ReadonlyArray<Node>): ReadonlyArray<Part> | undefined => {
  const parts: Array<Part> = []
  for (const [tag, given] of nodes) {
    if (["fill", "stroke", "opacity", "transform"].some((name) => name in given)) return undefined
    const n = (name: string) => Number(given[name] ?? 0)
    switch (tag) {
      case "path":
        parts.push(...pathParts(given["d"]!))
        break
      case "line":
        parts.push({ tag: "path", segments: [["M", n("x1"), n("y1")], ["L", n("x2"), n("y2")]] })
        break
      case "polyline":
      case "polygon":
        parts.push(...pathParts(`M${given["points"]}${tag === "polygon" ? "Z" : ""}`))
        break
      case "circle":
        parts.push({ tag, numbers: [n("cx"), n("cy"), n("r")] })
        break
      case "ellipse":
        parts.push(...pathParts(
          `M${n("cx") - n("rx")} ${n("cy")}a${n("rx")} ${n("ry")} 0 0 0 ${2 * n("rx")} 0a${n("rx")} ${n("ry")} 0 0 0 ${-2 * n("rx")} 0`
        ))
        break
      case "rect":
        parts.push({ tag, numbers: [n("x"), n("y"), n("width"), n("height"), "rx" in given ? n("rx") : n("ry")] })
        break
      default:
        return undefined
    }
  }
  return parts
}

/** Numbers side by side; a minus sign parts them as well as a space does. */
const joined = (numbers: ReadonlyArray<number>): string =>
  numbers.map((n, i) => (i > 0 && n >= 0 ? ` ${n}` : String(n))).join("")

/**
 * A path's `d`, relative after its start, in whole numbers. A letter is not repeated. Pieces too short for the grid are
 * left out; a stroke of nothing but such pieces is a dot.
 */
const pathData = (segments: ReadonlyArray<Segment>): string => {
  let [x, y, before, out] = [0, 0, "", ""]
  let start: Point = [0, 0]
  const add = (letter: string, numbers: ReadonlyArray<number>) => {
    out += letter !== before ? letter + joined(numbers) : (numbers[0]! >= 0 ? " " : "") + joined(numbers)
    before = letter
  }
  for (const segment of segments) {
    const [letter, ...given] = segment
    const taken = given.map(Math.round)
    const [toX, toY] = letter === "Z" ? start : taken.slice(-2) as unknown as Point
    const [dx, dy] = [toX - x, toY - y]
    if (letter === "M") {
      add("M", taken)
      start = [toX, toY]
    } else if (letter === "Z") {
      if (before !== "M") out += "z"
    } else if (dx === 0 && dy === 0) continue
    else if (letter === "L") {
      if (dy === 0) add("h", [dx])
      else if (dx === 0) add("v", [dy])
      else add("l", [dx, dy])
    } else {
      const [cx, cy] = [taken[0]! - x, taken[1]! - y]
      // With its control point on the line it is one.
      if (cx * dy === cy * dx && cx * dx + cy * dy >= 0) {
        if (dy === 0) add("h", [dx])
        else if (dx === 0) add("v", [dy])
        else add("l", [dx, dy])
      } else add("q", [cx, cy, dx, dy])
    }
    ;[x, y] = [toX, toY]
  }
  return before === "M" ? `${out}h0` : out
}

const element = ({ numbers, tag }: Part & { tag: "circle" | "rect" }): string => {
  const whole = numbers.map(Math.round)
  if (tag === "circle") return `<circle cx="${whole[0]}" cy="${whole[1]}" r="${Math.max(1, whole[2]!)}"/>`
  const [x, y, width, height, rx] = whole
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}"${rx === 0 ? "" : ` rx="${rx}"`}/>`
}

/** The drawing without its prefill: rectangles, circles, then all strokes as one path. */
export const completionOf = (parts: ReadonlyArray<Part>): string => {
  const shapes = (tag: "rect" | "circle") =>
    parts.filter((part): part is Part & { tag: "circle" | "rect" } => part.tag === tag).map(element).join("")
  const d = parts.map((part) => part.tag === "path" ? pathData(part.segments) : "").join("")
  return `${shapes("rect")}${shapes("circle")}${d === "" ? "" : `<path d="${d}"/>`}</svg>`
}

export const svgOf = (parts: ReadonlyArray<Part>): string => prefill + completionOf(parts)

/** Moves a number by 3 to 7 units, to one side or the other, inside the canvas. */
const moved = (n: number, draw: Random): number => Math.min(side, Math.max(0, n + (3 + integer(draw, 5)) * (draw() < 0.5 ? -1 : 1)))

/** A third of all numbers moved: what is left is lines, but not this icon. */
const jittered = (parts: ReadonlyArray<Part>, draw: Random): ReadonlyArray<Part> => {
  const some = (n: number) => draw() < 1 / 3 ? moved(n, draw) : n
  return parts.map((part): Part => {
    if (part.tag !== "path") return { ...part, numbers: part.numbers.map(some) } as unknown as Part
    return { tag: "path", segments: part.segments.map(([letter, ...numbers]) => [letter, ...numbers.map(some)] as unknown as Segment) }
  })
}

/** Without some of its parts, or with a path that ends halfway. */
const cut = (parts: ReadonlyArray<Part>, draw: Random): ReadonlyArray<Part> => {
  if (parts.length > 1) {
    const gone = integer(draw, parts.length)
    return parts.filter((_, n) => n !== gone && (parts.length < 4 || draw() < 0.75))
  }
  const [only] = parts
  return only?.tag === "path" && only.segments.length > 3
    ? [{ tag: "path", segments: only.segments.slice(0, Math.ceil(only.segments.length / 2)) }]
    : jittered(parts, draw)
}

/** The same parts, one of them elsewhere. */
const displaced = (parts: ReadonlyArray<Part>, draw: Random): ReadonlyArray<Part> => {
  if (parts.length < 2) return jittered(parts, draw)
  const chosen = integer(draw, parts.length)
  const [dx, dy] = [moved(0, draw) || -5, moved(0, draw) || 6]
  return parts.map((part, n): Part => {
    if (n !== chosen) return part
    if (part.tag !== "path") return { ...part, numbers: part.numbers.map((x, i) => i === 0 ? x + dx : i === 1 ? x + dy : x) } as unknown as Part
    return {
      tag: "path",
      segments: part.segments.map(([letter, ...numbers]) => [letter, ...numbers.map((x, i) => x + (i % 2 === 0 ? dx : dy))] as unknown as Segment)
    }
  })
}

export const faults = { jitter: jittered, "missing part": cut, "displaced part": displaced } as const
export type Fault = keyof typeof faults

/** A drawing of the same icon with one fault; undefined if the fault cannot be seen in whole numbers. */
export const broken = (parts: ReadonlyArray<Part>, fault: Fault, draw: Random): string | undefined => {
  const svg = svgOf(faults[fault](parts, draw))
  return svg === svgOf(parts) ? undefined : svg
}
