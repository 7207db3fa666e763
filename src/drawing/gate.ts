/**
 * The validity gate: one pass over a drawing's text before any renderer sees it. It saves renderers and judges work and
 * gives each refusal a name. It is not the boundary against hostile drawings: that is the renderer's own process.
 *
 * Limits are measured on icon sets (tabler, lucide, twemoji: a handful of false refusals in twelve thousand files) and
 * on drawings that are known to kill resvg.
 */
import { SaxesParser } from "saxes"
import type { RejectReason } from "../domain.ts"
import { declarations, urlTargets } from "./css.ts"
import { expandedSize, type Referencing } from "./id-references.ts"
import { editors, elements, filterPrimitives, numeric, placing, silent, textElements } from "./vocabulary.ts"

export { extractSvg } from "./extract.ts"

export interface GateOptions {
  /** The prompt asks for letters. Default false. */
  readonly allowText?: boolean
}

export type GateResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: RejectReason; readonly detail: string }

const limits = {
  /** UTF-16 code units. */
  length: 32_768,
  elements: 1500,
  depth: 40,
  attributes: 64,
  /** Largest absolute value of a coordinate or length. */
  number: 1e5,
  /** Longer side of the canvas divided by the shorter one. */
  aspect: 8,
  /** Numbers in one path, list of points or transform. */
  numbers: 6000,
  /** Sum of a dash pattern, user units: a finer one costs seconds. */
  dash: 0.05,
  blur: 200,
  /** Stroke width and font size, user units. */
  thickness: 1e4,
  /** How many canvases away a coordinate may lie in a drawing with filters. */
  reach: 4,
  filterPrimitives: 24,
  /** Elements after all references are expanded. */
  expanded: 4096
} as const

class Refusal extends Error {
  readonly reason: RejectReason
  constructor(reason: RejectReason, detail: string) {
    super(detail)
    this.reason = reason
  }
}
const refuse = (reason: RejectReason, detail: string): never => {
  throw new Refusal(reason, detail)
}

const svgNamespace = "http://www.w3.org/2000/svg"
const numberPattern = /[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/g

/** Every number of the value, each checked; words such as `none` or `rotate` have none. */
const numbersOf = (name: string, value: string): Array<number> => {
  if (/nan|infinity/i.test(value)) return refuse("bad-number", `${name} is "${value.slice(0, 40)}"`)
  const found = (value.match(numberPattern) ?? []).map(Number)
  if (found.length > limits.numbers) return refuse("too-large", `${name} has ${found.length} numbers`)
  for (const x of found) {
    if (!Number.isFinite(x) || Math.abs(x) > limits.number) return refuse("bad-number", `${name} has the number ${x}`)
  }
  return found
}

/** Ids an attribute or style property refers to. `local` is its name without prefix: any prefix may stand for xlink. */
const references = (local: string, value: string): Array<string> => {
  if (local === "href") {
    return value.trim().startsWith("#") ? [value.trim().slice(1)] : refuse("forbidden", `href="${value.slice(0, 40)}" leaves the drawing`)
  }
  return urlTargets(value).map((target) =>
    target.startsWith("#") ? target.slice(1) : refuse("forbidden", `url(${target.slice(0, 40)}) leaves the drawing`)
  )
}

/** One presentation attribute, or one property of a style. Colours and names hold no number that matters. */
const checkProperty = (name: string, value: string): ReadonlyArray<number> => {
  if (name === "filter" && !/^\s*(none|url\([^)]*\))\s*$/i.test(value)) {
    refuse("forbidden", `filter: ${value.slice(0, 40)} is not a reference to a <filter>`)
  }
  if (!numeric.has(name)) return []
  const found = numbersOf(name, value)
  if (name === "stroke-dasharray" && found.length > 0 && found.reduce((a, b) => a + b, 0) < limits.dash && found.some((x) => x !== 0)) {
    refuse("bad-number", "stroke-dasharray is finer than can be drawn")
  }
  if (name === "stdDeviation" && found.some((x) => x > limits.blur)) refuse("bad-number", "stdDeviation is too large")
  if ((name === "stroke-width" || name === "font-size") && found.some((x) => x > limits.thickness)) {
    refuse("bad-number", `${name} is ${value.slice(0, 40)}`)
  }
  return found
}

/** `a: b; c: d`, with or without selectors and braces around it. Imports, escapes and comments could hide a property. */
const checkStyle = (css: string): void => {
  if (/@|\\|\/\*|expression|javascript:/i.test(css)) refuse("forbidden", "style holds more than selectors and properties")
  for (const [name, value] of declarations(css)) checkProperty(name, value)
}

const checkAspect = (width: number | undefined, height: number | undefined): void => {
  if (width === undefined || height === undefined || !(width > 0) || !(height > 0)) {
    refuse("bad-number", "the canvas has no area")
    return
  }
  if (Math.max(width / height, height / width) > limits.aspect) refuse("bad-number", `the canvas is ${width} by ${height}`)
}

interface Open extends Referencing {
  readonly name: string
  readonly children: Array<Referencing>
}

/**
 * Whether a drawing may be rendered: well-formed XML, an svg root in its namespace, known elements only, nothing that
 * leaves the drawing, finite numbers, bounded work.
 *
 * @param svg one svg element, as `extractSvg` finds it
 */
export const gate = (svg: string, { allowText = false }: GateOptions = {}): GateResult => {
  try {
    inspect(svg, allowText)
    return { ok: true }
  } catch (cause) {
    if (cause instanceof Refusal) return { ok: false, reason: cause.reason, detail: cause.message }
    return { ok: false, reason: "malformed", detail: (cause as Error).message.split("\n")[0]!.slice(0, 200) }
  }
}

const inspect = (svg: string, allowText: boolean): void => {
  if (svg.length > limits.length) refuse("too-large", `${svg.length} characters; at most ${limits.length} are read`)
  const parser = new SaxesParser({ xmlns: true })
  const open: Array<Open> = []
  let root: Open | undefined
  let rootReach = 0
  let farthest = { name: "", distance: 0 }
  let css = ""
  let count = 0
  let primitives = 0
  let filters = false
  const onText = (text: string) => {
    const at = open[open.length - 1]
    if (at?.name === "style") css += text
    if (at === undefined || text.trim() === "" || textElements.has(at.name) || silent.has(at.name)) return
    refuse("malformed", `text between elements: "${text.trim().slice(0, 40)}"`)
  }
  parser.on("error", (error) => {
    throw error
  })
  parser.on("doctype", () => refuse("forbidden", "a document type"))
  parser.on("processinginstruction", () => refuse("forbidden", "a processing instruction"))
  parser.on("text", onText)
  parser.on("cdata", onText)
  parser.on("opentag", ({ attributes, local, uri }) => {
    const isRoot = root === undefined
    if (isRoot && (local !== "svg" || uri !== svgNamespace)) refuse("not-svg", `the root is <${local}>`)
    if (++count > limits.elements) refuse("too-large", `more than ${limits.elements} elements`)
    if (open.length >= limits.depth) refuse("too-large", `nested deeper than ${limits.depth}`)
    const all = Object.values(attributes)
    if (all.length > limits.attributes) refuse("too-large", `<${local}> has ${all.length} attributes`)
    // Editors keep their notes in their own namespace; nothing in it is drawn.
    const foreign = uri !== svgNamespace
    if (foreign && !editors.test(uri) && !open.some(({ name }) => name === "metadata")) {
      refuse("forbidden", `<${local}> is of another namespace`)
    }
    if (!foreign && textElements.has(local)) {
      if (!allowText) refuse("text", `<${local}> draws letters, and the prompt asks for none`)
    } else if (!foreign && !elements.has(local)) refuse("forbidden", `<${local}> is not allowed`)
    if (!foreign && local === "filter") filters = true
    if (filterPrimitives.test(local) && ++primitives > limits.filterPrimitives) refuse("too-large", "too many filter steps")
    const names: Array<string> = []
    for (const { local: short, name, prefix, value } of foreign ? [] : all) {
      if (/^on/i.test(name)) refuse("forbidden", `the attribute ${name} runs script`)
      if (name === "style") checkStyle(value)
      if (prefix === "xmlns" || name === "xmlns") continue
      names.push(...references(short, value))
      const found = checkProperty(name, value)
      if (isRoot || !placing.has(name) || value.endsWith("%")) continue
      for (const x of found) if (Math.abs(x) > farthest.distance) farthest = { name, distance: Math.abs(x) }
    }
    if (isRoot) {
      const viewBox = attributes["viewBox"] && numbersOf("viewBox", attributes["viewBox"].value)
      if (viewBox !== undefined) checkAspect(viewBox[2], viewBox[3])
      const [width, height] = [pixels(attributes["width"]?.value) ?? viewBox?.[2], pixels(attributes["height"]?.value) ?? viewBox?.[3]]
      if (width !== undefined && height !== undefined) checkAspect(width, height)
      const [x = 0, y = 0, w = width ?? 100, h = height ?? 100] = viewBox ?? []
      rootReach = Math.max(Math.abs(x), Math.abs(y)) + limits.reach * Math.max(w, h)
    }
    // Foreign elements are counted but otherwise treated as empty; their name must not look like one of ours.
    const node: Open = { name: foreign ? "metadata" : local, id: attributes["id"]?.value, names, children: [] }
    open[open.length - 1]?.children.push(node)
    root ??= node
    open.push(node)
  })
  parser.on("closetag", () => void open.pop())
  parser.write(svg).close()
  if (root === undefined) return refuse("no-svg", "there is no element")
  if (/url\(|filter\s*:/i.test(css)) refuse("forbidden", "a style sheet may not hold references or filters: put them on the elements")
  checkStyle(css)
  if (expandedSize(root, limits.expanded) > limits.expanded) refuse("cycle", "its references form a cycle or expand too far")
  // resvg 0.34 aborts on filtered elements some canvases away; a bound on coordinates keeps them near.
  if (filters && farthest.distance > rootReach) {
    refuse("bad-number", `${farthest.name} reaches far off the canvas of a drawing with filters`)
  }
}

/** A length in user units; undefined if there is none or it is a percentage. */
const pixels = (value: string | undefined): number | undefined =>
  value === undefined || value.trim().endsWith("%") ? undefined : Number.parseFloat(value)
