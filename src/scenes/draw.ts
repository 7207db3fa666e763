/** Good drawings of scenes, with natural variation of place and size. */
import { integer, pick, type Random } from "../engine/random.ts"
import { defaultCoat, drawCreature } from "./creatures.ts"
import { drawFigure } from "./figures.ts"
import type { Scene } from "./grammar.ts"
import { bounds, type Build, canvas, type Drawing, place, type Shape, toSvg } from "./shape.ts"
import { deckDrop, defaultPaint, drawVehicle, seats } from "./vehicles.ts"

const between = (draw: Random, low: number, high: number): number => low + integer(draw, high - low + 1)

/** Free space kept at each edge of the canvas, in units. */
const margin = 3

/** Sizes are multiples of this, so that one shape is drawn with few sets of numbers. */
const grain = 0.05

/** Scales a drawing to 85-100 % of the largest size that fits, at most `most`, and puts it anywhere it fits. */
const fit = (drawing: Drawing, draw: Random, most = Infinity): Drawing => {
  const box = bounds(drawing)
  const room = canvas - 2 * margin
  const largest = Math.floor(Math.min(most, room / (box.x1 - box.x0), room / (box.y1 - box.y0)) / grain)
  const scale = grain * between(draw, Math.ceil(0.85 * largest), largest)
  // With whole units, figures that are level or equal stay so after rounding.
  const spot = (low: number, high: number): number => {
    const slack = room - (high - low) * scale
    return Math.round(margin - low * scale + slack * (0.2 + 0.6 * draw()))
  }
  return place(drawing, scale, spot(box.x0, box.x1), spot(box.y0, box.y1))
}

/** A good arrangement of each count, as x, y in units. */
const arrangements: ReadonlyArray<ReadonlyArray<ReadonlyArray<readonly [number, number]>>> = [
  [[[32, 32]]],
  [[[17, 32], [47, 32]], [[32, 17], [32, 47]], [[18, 20], [46, 44]]],
  [[[32, 17], [16, 46], [48, 46]], [[12, 32], [32, 32], [52, 32]]],
  [[[17, 17], [47, 17], [17, 47], [47, 47]]],
  [[[14, 14], [50, 14], [32, 32], [14, 50], [50, 50]]]
]

const countRadii: ReadonlyArray<readonly [number, number]> = [[14, 22], [9, 12], [7, 8], [8, 11], [7, 9]]

const jitter = (draw: Random, most: number): number => between(draw, -most, most)

const counted = (scene: Scene & { kind: "count" }, draw: Random): Drawing => {
  const spots = pick(draw, arrangements[scene.count - 1]!)
  const [low, high] = countRadii[scene.count - 1]!
  const r = between(draw, low, high)
  return spots.map(([x, y]) => drawFigure("thing", scene.thing, x + jitter(draw, 1), y + jitter(draw, 1), r))
}

const related = (scene: Scene & { kind: "relation" }, draw: Random): Drawing => {
  if (scene.relation === "inside") {
    const [x, y] = [32 + jitter(draw, 3), 32 + jitter(draw, 3)]
    const r = between(draw, 20, 23)
    const roomy = scene.second.figure === "circle" || scene.second.figure === "square"
    // Triangles have their space low, hearts high.
    const drop = scene.second.figure === "triangle" ? 6 : scene.second.figure === "heart" ? -3 : 1
    return [
      drawFigure("second", scene.second, x, y, r),
      drawFigure("first", scene.first, x, y + drop, roomy ? between(draw, 8, 11) : between(draw, 6, 7))
    ]
  }
  const upright = scene.relation === "above" || scene.relation === "below"
  const forward = scene.relation === "above" || scene.relation === "left of"
  const near = 17 + jitter(draw, 1)
  const far = 47 + jitter(draw, 1)
  const spot = (along: number): readonly [number, number] => {
    const across = 32 + jitter(draw, 5)
    return upright ? [across, along] : [along, across]
  }
  const [ax, ay] = spot(forward ? near : far)
  const [bx, by] = spot(forward ? far : near)
  return [
    drawFigure("first", scene.first, ax, ay, between(draw, 9, 12)),
    drawFigure("second", scene.second, bx, by, between(draw, 9, 12))
  ]
}

const sized = (scene: Scene & { kind: "sizes" }, draw: Random): Drawing => {
  const leftward = draw() < 0.5
  const bigX = 22 + jitter(draw, 2)
  const smallX = 52 + jitter(draw, 1)
  const bigY = 32 + jitter(draw, 6)
  const smallY = 32 + jitter(draw, 14)
  return [
    drawFigure("big", scene.big, leftward ? bigX : 64 - bigX, bigY, between(draw, 14, 17)),
    drawFigure("small", scene.small, leftward ? smallX : 64 - smallX, smallY, between(draw, 5, 7))
  ]
}

/** Moves a figure by whole units until it keeps clear of the edge. */
const inView = (shape: Shape): Shape => {
  const box = bounds([shape])
  const shift = (low: number, high: number): number => Math.ceil(Math.max(0, 2 - low)) - Math.ceil(Math.max(0, high - 62))
  return place([shape], 1, shift(box.x0, box.x1), shift(box.y0, box.y1))[0]!
}

const asRider = (shape: Shape): Shape => ({ ...shape, part: `rider ${shape.part}` })

/** How the things of a scene are built and put together. */
export interface Builds {
  readonly creature?: Build
  readonly vehicle?: Build
  /** `beside`: the rider stands on the ground behind its vehicle. */
  readonly rider?: "seated" | "beside"
}

/** How far behind its vehicle's middle, in its own units, a rider stands that does not sit. */
const behind = 25

/** The shapes of a scene; those of a rider have parts called "rider ...". Two draws differ in place and size. */
export const layOut = (scene: Scene, draw: Random, builds: Builds = {}): Drawing => {
  switch (scene.kind) {
    case "creature":
      return fit(drawCreature(scene.creature, scene.colour ?? defaultCoat[scene.creature], undefined, builds.creature), draw)
    case "vehicle":
      return fit(drawVehicle(scene.vehicle, scene.colour ?? defaultPaint(null), false, builds.vehicle), draw, 1.6)
    case "rider": {
      const seat = seats[scene.vehicle]
      const paint = scene.vehicleColour
      // If an unnamed coat would vanish against the named paint, the coat changes.
      const usual = defaultCoat[scene.creature]
      const coat = scene.creatureColour ?? (usual === paint ? "purple" : usual)
      const creature = drawCreature(scene.creature, coat, seat.legs, builds.creature)
      const vehicle = drawVehicle(scene.vehicle, paint ?? defaultPaint(coat), true, builds.vehicle)
      const drop = scene.creature === "pelican" || scene.creature === "owl" ? 0 : deckDrop[scene.vehicle]
      const lift = scene.creature === "owl" && deckDrop[scene.vehicle] > 2 ? 6 : 0
      const [x, y] = builds.rider === "beside"
        ? [-behind, -bounds(creature).y1]
        : [seat.x, seat.y + drop + lift]
      return fit([...vehicle, ...place(creature, seat.scale, x, y).map(asRider)], draw)
    }
    case "count":
      return counted(scene, draw).map(inView)
    case "relation":
      return related(scene, draw).map(inView)
    case "sizes":
      return sized(scene, draw).map(inView)
  }
}

/** A good drawing: integer coordinates in 0..64, the vehicle first and its rider on top. */
export const drawScene = (scene: Scene, draw: Random): string => toSvg(layOut(scene, draw))
