/** Drawings with one named flaw, and captions that are nearly right. */
import { integer, pick, type Random } from "../engine/random.ts"
import { essentialParts, looseParts } from "./creatures.ts"
import { layOut } from "./draw.ts"
import { drawFigure } from "./figures.ts"
import {
  caption,
  type Colour,
  colours,
  containers,
  type Count,
  creatures,
  figures,
  isHeldOut,
  relations,
  type Scene,
  type Thing,
  vehicles
} from "./grammar.ts"
import { bounds, type Box, canvas, type Drawing, place, type Shape, toSvg } from "./shape.ts"

export const flawNames = [
  "wrong-colour",
  "swapped-colours",
  "wrong-count",
  "wrong-relation",
  "missing-part",
  "misshapen",
  "beside",
  "unequal-wheels",
  "off-canvas",
  "detached",
  "stray-object",
  "tiny",
  "broken-xml"
] as const
export type FlawName = (typeof flawNames)[number]

const rider = "rider "

const colourKnown = (scene: Scene): boolean =>
  scene.kind === "rider"
    ? scene.creatureColour !== null || scene.vehicleColour !== null
    : scene.kind === "creature" || scene.kind === "vehicle"
    ? scene.colour !== null
    : true

const bothColours = (scene: Scene): boolean =>
  scene.kind === "rider" && scene.creatureColour !== null && scene.vehicleColour !== null

/** The flaws that a picture of the scene can show. */
export const flawsFor = (scene: Scene): ReadonlyArray<FlawName> => {
  const { kind } = scene
  const posed = kind === "creature" || kind === "vehicle" || kind === "rider"
  const wheeled = (kind === "vehicle" || kind === "rider") && scene.vehicle !== "unicycle"
  return flawNames.filter((flaw) => {
    switch (flaw) {
      case "wrong-colour":
        return colourKnown(scene)
      case "swapped-colours":
        return kind === "relation" || kind === "sizes" || bothColours(scene)
      case "wrong-count":
        return kind === "count"
      case "wrong-relation":
        return kind === "relation" || kind === "sizes" || kind === "rider"
      case "missing-part":
        return kind !== "count"
      case "misshapen":
        return posed
      case "beside":
        return kind === "rider"
      case "unequal-wheels":
        return wheeled
      case "detached":
        return posed
      default:
        return true
    }
  })
}

const otherThan = <A>(draw: Random, all: ReadonlyArray<A>, ...taken: ReadonlyArray<A | null>): A =>
  pick(draw, all.filter((one) => !taken.includes(one)))

/** Colours one would not call by each other's name, though a screen may blur them. */
const alike: ReadonlyArray<readonly [Colour, Colour]> = [["red", "brown"], ["orange", "yellow"], ["blue", "purple"]]

const recoloured = (draw: Random, colour: Colour, ...taken: ReadonlyArray<Colour | null>): Colour =>
  otherThan(
    draw,
    colours,
    colour,
    ...taken,
    ...alike.filter((pair) => pair.includes(colour)).map(([a, b]) => (a === colour ? b : a))
  )

/** The scene with one of its named colours replaced. */
const withOtherColour = (scene: Scene, draw: Random): Scene => {
  switch (scene.kind) {
    case "creature":
    case "vehicle":
      return { ...scene, colour: recoloured(draw, scene.colour ?? "red") }
    case "rider": {
      const both = scene.creatureColour !== null && scene.vehicleColour !== null
      const whose = both ? draw() < 0.5 : scene.creatureColour !== null
      return whose
        ? { ...scene, creatureColour: recoloured(draw, scene.creatureColour ?? "red", scene.vehicleColour) }
        : { ...scene, vehicleColour: recoloured(draw, scene.vehicleColour ?? "red", scene.creatureColour) }
    }
    case "count":
      return { ...scene, thing: { ...scene.thing, colour: recoloured(draw, scene.thing.colour) } }
    case "relation": {
      const { first, second } = scene
      return draw() < 0.5
        ? { ...scene, first: { ...first, colour: recoloured(draw, first.colour, second.colour) } }
        : { ...scene, second: { ...second, colour: recoloured(draw, second.colour, first.colour) } }
    }
    case "sizes": {
      const { big, small } = scene
      return draw() < 0.5
        ? { ...scene, big: { ...big, colour: recoloured(draw, big.colour, small.colour) } }
        : { ...scene, small: { ...small, colour: recoloured(draw, small.colour, big.colour) } }
    }
  }
}

/** The scene with its two colours exchanged, or itself if it does not name two. */
export const withSwappedColours = (scene: Scene): Scene => {
  switch (scene.kind) {
    case "relation": {
      const { first, second } = scene
      return { ...scene, first: { ...first, colour: second.colour }, second: { ...second, colour: first.colour } }
    }
    case "sizes": {
      const { big, small } = scene
      return { ...scene, big: { ...big, colour: small.colour }, small: { ...small, colour: big.colour } }
    }
    case "rider":
      return bothColours(scene)
        ? { ...scene, creatureColour: scene.vehicleColour, vehicleColour: scene.creatureColour }
        : scene
    default:
      return scene
  }
}

/**
 * The scene with its two figures exchanged, while places, sizes and colours stay; undefined if it has no two, or one
 * would be inside a figure that has no room.
 */
export const withSwappedFigures = (scene: Scene): Scene | undefined => {
  if (scene.kind === "sizes") {
    const { big, small } = scene
    return { ...scene, big: { ...big, figure: small.figure }, small: { ...small, figure: big.figure } }
  }
  if (scene.kind !== "relation" || (scene.relation === "inside" && !containers.includes(scene.first.figure))) return undefined
  const { first, second } = scene
  return { ...scene, first: { ...first, figure: second.figure }, second: { ...second, figure: first.figure } }
}

const withOtherCount = (scene: Scene & { kind: "count" }, draw: Random): Scene => {
  const up = scene.count === 1 || (scene.count < 5 && draw() < 0.5)
  return { ...scene, count: (scene.count + (up ? 1 : -1)) as Count }
}

/** Big and small exchanged, the two things of a relation exchanged, or any other relation between them. */
const withOtherRelation = (scene: Scene & { kind: "relation" | "sizes" }, draw: Random): Scene => {
  if (scene.kind === "sizes") return { ...scene, big: scene.small, small: scene.big }
  const { first, relation, second } = scene
  const roomy = containers.includes(relation === "inside" ? first.figure : second.figure)
  if (draw() < 0.5 && (relation !== "inside" || roomy)) return { ...scene, first: second, second: first }
  return { ...scene, relation: otherThan(draw, relations, relation, ...roomy ? [] : ["inside" as const]) }
}

/** Puts the creature under its vehicle. */
const overturned = (drawing: Drawing): Drawing => {
  const creature = drawing.filter((s) => s.part.startsWith(rider))
  const vehicle = drawing.filter((s) => !s.part.startsWith(rider))
  const [c, v] = [bounds(creature), bounds(vehicle)]
  const down = 61 - c.y1
  const up = Math.min(0, c.y0 + down - v.y1)
  const shifted = [...place(vehicle, 1, 0, Math.max(up, 3 - v.y0)), ...place(creature, 1, 0, down)]
  return shifted
}

const loseOne = (scene: Scene, drawing: Drawing, draw: Random): Drawing => {
  const creatureParts = scene.kind === "creature" || scene.kind === "rider" ? essentialParts[scene.creature] : []
  const prefix = scene.kind === "rider" ? rider : ""
  const candidates = [
    ...creatureParts.map((part) => prefix + part),
    ...(scene.kind === "vehicle" || scene.kind === "rider" ? ["wheel", "frame"] : []),
    ...(scene.kind === "relation" ? ["first", "second"] : []),
    ...(scene.kind === "sizes" ? ["big", "small"] : [])
  ]
  const lost = pick(draw, candidates)
  if (lost !== "wheel") return drawing.filter((s) => s.part !== lost && !(lost.endsWith("eyewhite") && s.part.endsWith("eye")))
  const wheel = drawing.findLastIndex((s) => s.part === "wheel")
  return drawing.filter((_, i) => i !== wheel)
}

const shrinkWheel = (drawing: Drawing, draw: Random): Drawing => {
  const wheels = drawing.flatMap((s, i) => (s.part === "wheel" ? [i] : []))
  const chosen = pick(draw, wheels)
  const factor = 0.45 + 0.15 * draw()
  return drawing.map((s, i): Shape => (i === chosen ? { ...s, numbers: [s.numbers[0]!, s.numbers[1]!, s.numbers[2]! * factor] } : s))
}

const overEdge = (drawing: Drawing, draw: Random): Drawing => {
  const box = bounds(drawing)
  const share = 0.3 + 0.25 * draw()
  const [w, h] = [(box.x1 - box.x0) * share, (box.y1 - box.y0) * share]
  switch (integer(draw, 4)) {
    case 0:
      return place(drawing, 1, -box.x0 - w, 0)
    case 1:
      return place(drawing, 1, canvas - box.x1 + w, 0)
    case 2:
      return place(drawing, 1, 0, -box.y0 - h)
    default:
      return place(drawing, 1, 0, canvas - box.y1 + h)
  }
}

/** Lifts the rider, or one part, clear of the rest; the whole drawing shrinks if that needs room. */
const pullApart = (scene: Scene, drawing: Drawing, draw: Random): Drawing => {
  const loose = scene.kind === "creature" ? pick(draw, looseParts[scene.creature]) : ""
  const goes = (s: Shape): boolean =>
    scene.kind === "rider" ? s.part.startsWith(rider) : scene.kind === "vehicle" ? s.part === "wheel" : s.part === loose
  const moving = drawing.filter(goes)
  const resting = drawing.filter((s) => !goes(s))
  const [m, r] = [bounds(moving), bounds(resting)]
  const gap = 6 + 4 * draw()
  let apart: Drawing
  if (scene.kind === "rider") {
    const legs = bounds(moving.filter((s) => !s.part.endsWith("legs")))
    apart = [...resting, ...place(moving, 1, 0, Math.min(0, r.y0 - Math.max(legs.y1, m.y1) - gap))]
  } else if (scene.kind === "vehicle") {
    apart = [...resting, ...place(moving, 1, 0, r.y1 - m.y0 + gap)]
  } else if ((m.x0 + m.x1) / 2 > (r.x0 + r.x1) / 2 + 4) {
    apart = [...resting, ...place(moving, 1, r.x1 - m.x0 + gap, 0)]
  } else if ((m.x0 + m.x1) / 2 < (r.x0 + r.x1) / 2 - 8) {
    apart = [...resting, ...place(moving, 1, r.x0 - m.x1 - gap, 0)]
  } else {
    apart = [...resting, ...place(moving, 1, 0, r.y0 - m.y1 - gap)]
  }
  return intoView(apart)
}

const intoView = (drawing: Drawing): Drawing => {
  const box = bounds(drawing)
  const scale = Math.min(1, 58 / (box.x1 - box.x0), 58 / (box.y1 - box.y0))
  const shift = (low: number, high: number): number =>
    low * scale < 3 ? 3 - low * scale : high * scale > 61 ? 61 - high * scale : 0
  return place(drawing, scale, shift(box.x0, box.x1), shift(box.y0, box.y1))
}

const shrink = (drawing: Drawing, draw: Random): Drawing => {
  const box = bounds(drawing)
  const scale = (16 + 4 * draw()) / Math.max(box.x1 - box.x0, box.y1 - box.y0)
  const x = draw() < 0.5 ? 3 - box.x0 * scale : 61 - box.x1 * scale
  const y = draw() < 0.5 ? 3 - box.y0 * scale : 61 - box.y1 * scale
  return place(drawing, scale, x, y)
}

const overlap = (a: Box, b: Box): number =>
  Math.max(0, Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0)) * Math.max(0, Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0))

const withStray = (drawing: Drawing, draw: Random): Drawing => {
  const seen = drawing.flatMap((s) => [s.fill, s.stroke ?? ""])
  const colour = otherThan(draw, colours, ...(seen as Array<Colour>), "black")
  const figure = pick(draw, figures)
  const r = 5 + integer(draw, 2)
  // The place, of twelve random ones, that hides the least and is not hidden itself.
  const options = Array.from({ length: 12 }, () => {
    const shape = drawFigure("stray", { figure, colour }, 9 + integer(draw, 47), 9 + integer(draw, 47), r)
    const box = bounds([shape])
    return { shape, cost: drawing.reduce((sum, s) => sum + overlap(bounds([s]), box), 0) }
  })
  return [...drawing, options.reduce((a, b) => (b.cost < a.cost ? b : a)).shape]
}

const breakXml = (svg: string, draw: Random): string => {
  const end = svg.indexOf(">") + 1
  switch (integer(draw, 4)) {
    case 0:
      return svg.slice(0, -"</svg>".length)
    case 1: {
      const cut = svg.lastIndexOf("/>")
      return svg.slice(0, cut) + svg.slice(cut + 1)
    }
    case 2: {
      const quote = svg.lastIndexOf('"')
      return svg.slice(0, quote) + svg.slice(quote + 1)
    }
    default:
      return svg.slice(0, end + Math.max(4, integer(draw, svg.length - end - 8)))
  }
}

/** The other scene that a drawing with this flaw shows, where it is a good drawing of one. */
const sceneInstead = (scene: Scene, draw: Random, flaw: FlawName): Scene | undefined => {
  switch (flaw) {
    case "wrong-colour":
      return withOtherColour(scene, draw)
    case "swapped-colours":
      return withSwappedColours(scene)
    case "wrong-count":
      return scene.kind === "count" ? withOtherCount(scene, draw) : undefined
    case "wrong-relation":
      return scene.kind === "relation" || scene.kind === "sizes" ? withOtherRelation(scene, draw) : undefined
    default:
      return undefined
  }
}

const flawedDrawing = (scene: Scene, draw: Random, flaw: FlawName): Drawing => {
  switch (flaw) {
    case "misshapen":
      return layOut(scene, draw, scene.kind === "vehicle" || (scene.kind === "rider" && draw() < 0.5)
        ? { vehicle: "misshapen" }
        : { creature: "misshapen" })
    case "beside":
      return layOut(scene, draw, { rider: "beside" })
    case "wrong-relation":
      return overturned(layOut(scene, draw)) // a rider; other kinds show another scene
    case "missing-part":
      return loseOne(scene, layOut(scene, draw), draw)
    case "unequal-wheels":
      return shrinkWheel(layOut(scene, draw), draw)
    case "off-canvas":
      return overEdge(layOut(scene, draw), draw)
    case "detached":
      return pullApart(scene, layOut(scene, draw), draw)
    case "stray-object":
      return withStray(layOut(scene, draw), draw)
    case "tiny":
      return shrink(layOut(scene, draw), draw)
    default:
      return layOut(scene, draw)
  }
}

export interface FlawedDrawing {
  readonly svg: string
  readonly flaw: FlawName
  /** The other scene of which this is a good drawing, if it is one of any. */
  readonly shows: Scene | undefined
}

/**
 * A drawing with the given flaw, or with any of `flawsFor(scene)`. Off-canvas drawings have coordinates outside 0..64;
 * broken-xml drawings are not well-formed XML.
 */
export const drawFlawed = (scene: Scene, draw: Random, flaw?: FlawName): FlawedDrawing => {
  const possible = flawsFor(scene)
  if (flaw !== undefined && !possible.includes(flaw)) throw new RangeError(`no ${flaw} for "${caption(scene)}"`)
  const chosen = flaw ?? pick(draw, possible)
  const shows = sceneInstead(scene, draw, chosen)
  const svg = toSvg(shows === undefined ? flawedDrawing(scene, draw, chosen) : layOut(shows, draw))
  return { svg: chosen === "broken-xml" ? breakXml(svg, draw) : svg, flaw: chosen, shows }
}

const otherFigure = (draw: Random, one: Thing, ...taken: ReadonlyArray<Thing>): Thing => ({
  ...one,
  figure: otherThan(draw, figures, one.figure, ...taken.map((t) => t.figure))
})

const withOtherObject = (scene: Scene, draw: Random): Scene => {
  switch (scene.kind) {
    case "creature":
      return { ...scene, creature: otherThan(draw, creatures, scene.creature) }
    case "vehicle":
      return { ...scene, vehicle: otherThan(draw, vehicles, scene.vehicle) }
    case "rider":
      return draw() < 0.5
        ? { ...scene, creature: otherThan(draw, creatures, scene.creature) }
        : { ...scene, vehicle: otherThan(draw, vehicles, scene.vehicle) }
    case "count":
      return { ...scene, thing: otherFigure(draw, scene.thing) }
    case "relation":
      return draw() < 0.5
        ? { ...scene, first: otherFigure(draw, scene.first) }
        : { ...scene, second: otherFigure(draw, scene.second) }
    case "sizes":
      return draw() < 0.5
        ? { ...scene, big: otherFigure(draw, scene.big) }
        : { ...scene, small: otherFigure(draw, scene.small) }
  }
}

const nearMiss = (scene: Scene, draw: Random): Scene => {
  const roll = draw()
  if (scene.kind === "count" && roll < 0.4) return withOtherCount(scene, draw)
  if ((scene.kind === "sizes" || scene.kind === "relation") && roll < 0.5) {
    return roll < 0.2 ? withSwappedColours(scene) : withOtherRelation(scene, draw)
  }
  if (bothColours(scene) && roll < 0.25) return withSwappedColours(scene)
  return roll < 0.7 && colourKnown(scene) ? withOtherColour(scene, draw) : withOtherObject(scene, draw)
}

/**
 * Another scene that differs in one colour, count, relation or object, or in who has which colour, and so shows another
 * picture. For a training scene it is a training scene.
 */
export const perturbScene = (scene: Scene, draw: Random): Scene => {
  for (;;) {
    const near = nearMiss(scene, draw)
    if (isHeldOut(scene) || !isHeldOut(near)) return near
  }
}

/** The caption of `perturbScene`. */
export const perturbCaption = (scene: Scene, draw: Random): string => caption(perturbScene(scene, draw), draw)
