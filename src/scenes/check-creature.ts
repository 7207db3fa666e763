/** Checks whether the pixels show a creature of one colour: its body, and the parts that identify it. */
import { accent, eyeColour, shellColour } from "./creatures.ts"
import type { Colour, Creature } from "./grammar.ts"
import { clamp, countScore, height, ramp, ratio, width } from "./measure.ts"
import { at, type Blob, blobs, type Mask, maskOf, type Paint, type Picture, runs, union, where } from "./pixels.ts"

/** Scores in [0, 1] by what they measure. */
export type Parts = Record<string, number>

export interface CreatureReading {
  readonly parts: Parts
  readonly body: Blob | undefined
  /** Paints the creature may show. */
  readonly paints: ReadonlyArray<Paint>
}

interface View {
  readonly picture: Picture
  readonly coat: Colour
  readonly mask: Mask
  readonly body: Blob
  /** Blobs of a paint in the part of the picture that may belong to the creature. */
  readonly of: (paint: Paint, least: number) => ReadonlyArray<Blob>
}

const inside = (b: Blob, box: Blob, slack: number): boolean =>
  b.cx > box.x0 - slack && b.cx < box.x1 + slack && b.cy > box.y0 - slack && b.cy < box.y1 + slack

/** Small dots within the body's box. */
const dots = (view: View, paint: Paint, slack = 0): ReadonlyArray<Blob> =>
  view.of(paint, 0.7).filter((b) => b.area < 30 && width(b) < 8 && height(b) < 8 && inside(b, view.body, slack))

const eyes = (view: View, wanted: number): number => {
  const found = dots(view, eyeColour(view.coat)).length
  return found > wanted ? 0.6 : found / wanted
}

/** Share of the rows between two heights (0 top, 1 bottom of the body's box) in which two ears stand apart. */
const earRows = (view: View, from: number, to: number): number => {
  const { body, mask, picture } = view
  let split = 0
  for (let k = 0; k < 5; k++) {
    const y = body.y0 + (from + ((to - from) * (k + 0.5)) / 5) * height(body)
    if (runs(picture, mask, y, body.x0, body.x1) >= 2) split += 1
  }
  return split / 5
}

const pelican = (view: View): Parts => {
  const { body, of } = view
  const bright = of(accent(view.coat), 1.5)
  const beak = bright.find((b) => b.cy < body.cy && Math.abs(b.cx - body.cx) > 0.15 * width(body))
  const feet = where(view.picture, maskOf(view.picture, accent(view.coat)), (x, y) =>
    y > body.cy && x > body.x0 && x < body.x1)
  const leg = union(blobs(view.picture, feet, 0.7))
  const neck = ramp((body.cy - body.y0) / width(body), 0.2, 0.4)
  return {
    eye: eyes(view, 1),
    beak: beak === undefined ? 0 : ramp(beak.area / body.area, 0, 0.15),
    beakLong: beak === undefined ? 0 : ramp(width(beak) / width(body), 0.1, 0.4) * ramp(width(beak) / height(beak), 0.7, 1.3),
    beakAhead: beak === undefined ? 0 : ramp(Math.abs(beak.cx - body.cx) / width(body), 0.2, 0.45),
    legs: leg === undefined ? 0 : ramp(height(leg), 0, 0.12 * height(body)),
    neck
  }
}

const cat = (view: View): Parts => {
  const found = [...dots(view, eyeColour(view.coat))].sort((a, b) => a.cx - b.cx)
  const level = found.length === 2 ? ramp(Math.abs(found[0]!.cy - found[1]!.cy), 4, 1) : 0
  return {
    eyes: eyes(view, 2),
    eyesLevel: level,
    ears: clamp(1.3 * earRows(view, 0.03, 0.13)) * (earRows(view, 0.2, 0.3) < 0.5 ? 1 : 0.5),
    proportion: ramp(height(view.body) / width(view.body), 0.5, 0.75),
    noWhite: view.coat === "black" ? 1 : ramp(dots(view, "white").length, 2, 0)
  }
}

const fish = (view: View): Parts => {
  const { body, mask, picture } = view
  const eye = dots(view, eyeColour(view.coat))[0]
  const facing = (eye?.cx ?? body.x1) > (body.x0 + body.x1) / 2 ? 1 : -1
  const tall = (share: number): number => {
    const x = facing === 1 ? body.x0 + share * width(body) : body.x1 - share * width(body)
    let n = 0
    for (let y = body.y0 + 0.5; y < body.y1; y += 1) if (at(picture, mask, x, y)) n += 1
    return n
  }
  const tail = Math.max(tall(0.04), tall(0.1))
  const waist = Math.min(...[0.15, 0.2, 0.25, 0.3, 0.35].map(tall))
  const trunk = Math.max(tall(0.55), tall(0.65))
  return {
    eye: eyes(view, 1),
    eyeAhead: eye === undefined ? 0 : ramp(Math.abs(eye.cx - (body.x0 + body.x1) / 2) / width(body), 0.05, 0.2),
    tail: ramp(waist / Math.max(1, tail), 1, 0.7),
    trunk: ramp(waist / Math.max(1, trunk), 1, 0.7),
    proportion: ramp(width(body) / height(body), 0.9, 1.3)
  }
}

const snail = (view: View): Parts => {
  const { body, of } = view
  const shell = of(shellColour(view.coat), 4)[0]
  const eyePaint = view.coat === "black" ? "red" : "black"
  const tips = dots(view, eyePaint, 3).filter((b) => b.cy < body.y0 + 0.35 * height(body))
  return {
    shell: shell === undefined ? 0 : ramp(shell.area / body.area, 0.1, 0.6),
    shellRound: shell === undefined ? 0 : ramp(ratio(width(shell), height(shell)), 0.5, 0.9),
    shellOn: shell !== undefined && inside(shell, body, 0) ? ramp(body.y1 - shell.y1, -6, 0) : 0,
    eyes: countScore(tips.length, 2),
    foot: ramp(width(body) / height(body), 0.8, 1.2)
  }
}

const owl = (view: View): Parts => {
  const { body, of } = view
  const whites = of("white", 2).filter((b) => b.area < 250 && inside(b, body, 0) && b.cy < body.cy + 2)
  const pupils = of("black", 0.7).filter((b) => inside(b, body, 0) && whites.some((w) => inside(b, w, 0)))
  const bright = of(accent(view.coat), 0.7)
  const beak = bright.find((b) => inside(b, body, -0.25 * width(body)) && b.cy < body.y0 + 0.75 * height(body))
  const legs = bright.filter((b) => b !== beak && b.cy > body.cy && inside(b, body, 5))
  // On a gray body the white of a small eye is lost; the pupils then stand for the eyes.
  const dark = of("black", 0.7).filter((b) => inside(b, body, 0) && b.cy < body.cy + 2)
  const [a, b] = whites.length < 2 && dark.length === 2 ? dark : whites
  return {
    eyeWhites: countScore(whites.length, 2),
    eyesEqual: a === undefined || b === undefined ? 0 : ratio(a.area, b.area) * ramp(Math.abs(a.cy - b.cy), 5, 1),
    pupils: pupils.length > 2 ? 0.6 : pupils.length / 2,
    beak: beak === undefined ? 0 : 1,
    legs: clamp(legs.reduce((sum, leg) => sum + leg.area, 0) / 3),
    proportion: ramp(height(body) / width(body), 0.7, 1.1)
  }
}

const rabbit = (view: View): Parts => {
  const { body, of } = view
  const tail = of(view.coat === "pink" ? "gray" : "pink", 1)[0]
  return {
    eye: eyes(view, 1),
    ears: earRows(view, 0.04, 0.3),
    tail: tail !== undefined && inside(tail, body, 5) ? ramp(tail.area / body.area, 0, 0.03) : 0,
    proportion: ramp(height(body) / width(body), 0.7, 1)
  }
}

const readers: Record<Creature, (view: View) => Parts> = { pelican, cat, fish, snail, owl, rabbit }

const extraPaints = (creature: Creature, coat: Colour): ReadonlyArray<Paint> => {
  switch (creature) {
    case "pelican":
    case "owl":
      return [accent(coat)]
    case "snail":
      return [shellColour(coat), ...(coat === "black" ? ["red" as const] : [])]
    case "rabbit":
      return [coat === "pink" ? "gray" : "pink"]
    default:
      return []
  }
}

/**
 * Looks for the creature among the pixels (x, y in units) that `mine` admits. `wantedArea` is the area, in square
 * units, from which on the body is large enough.
 */
export const readCreature = (
  picture: Picture,
  creature: Creature,
  coat: Colour,
  wantedArea: number,
  mine: (x: number, y: number) => boolean
): CreatureReading => {
  const mask = where(picture, maskOf(picture, coat), mine)
  // Blobs much smaller than the largest are the vehicle's or strays, not body.
  const all = blobs(picture, mask, 3)
  const body = union(all.filter((b) => b.area > 0.12 * all[0]!.area))
  const paints: ReadonlyArray<Paint> = ["white", "black", coat, ...extraPaints(creature, coat)]
  if (body === undefined) return { parts: { body: 0 }, body, paints }
  const of = (paint: Paint, least: number) => blobs(picture, where(picture, maskOf(picture, paint), mine), least)
  const parts = readers[creature]({ picture, coat, mask, body, of })
  return { parts: { body: ramp(body.area, 0, wantedArea), ...parts }, body, paints }
}
