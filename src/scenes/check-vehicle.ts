/** Checks whether the pixels show a vehicle: its wheels as dark circles, and its frame in one colour. */
import type { Parts } from "./check-creature.ts"
import type { Colour, Vehicle } from "./grammar.ts"
import { clamp, countScore, height, ramp, ratio, width } from "./measure.ts"
import { type Blob, maskOf, type Mask, type Picture, type Ring, rings, union, blobs, where } from "./pixels.ts"

export interface Wheels {
  /** From left to right, as many as the vehicle has or fewer. */
  readonly chosen: ReadonlyArray<Ring>
  /** Wheel-like circles found, whether chosen or not. */
  readonly found: number
}

const wheelCount = (vehicle: Vehicle): number => (vehicle === "unicycle" ? 1 : 2)

const equal = (a: Ring, b: Ring): number => ratio(a.r, b.r)
const level = (a: Ring, b: Ring): number => ramp(Math.abs(a.cy + a.r - b.cy - b.r), 6, 1)

/** The circles that serve best as the vehicle's wheels. */
export const findWheels = (picture: Picture, vehicle: Vehicle): Wheels => {
  const all = rings(picture, maskOf(picture, "black"))
  if (wheelCount(vehicle) === 1) {
    const best = [...all].sort((a, b) => b.quality * b.r - a.quality * a.r)[0]
    if (best === undefined) return { chosen: [], found: 0 }
    return { chosen: [best], found: all.filter((w) => w.r > 0.6 * best.r).length }
  }
  let [pair, merit]: [ReadonlyArray<Ring>, number] = [all.slice(0, 1), 0]
  for (const a of all) {
    for (const b of all) {
      if (a.cx >= b.cx) continue
      const worth = a.quality * b.quality * (0.2 + equal(a, b)) * (0.2 + level(a, b)) * (a.cy + b.cy)
      if (worth > merit) [pair, merit] = [[a, b], worth]
    }
  }
  return { chosen: pair, found: all.length }
}

/** Whether a point (in units) lies on a wheel or within it. */
export const onWheel = (wheels: Wheels, x: number, y: number): boolean =>
  wheels.chosen.some((w) => Math.hypot(w.cx - x, w.cy - y) < w.r + 2.5)

const frameShape = (vehicle: Vehicle, frame: Blob, mask: Mask, picture: Picture, chosen: ReadonlyArray<Ring>): Parts => {
  const [a, b] = chosen
  if (a === undefined) return { frameShape: 0, frameHeight: 0 }
  const top = Math.min(...chosen.map((w) => w.cy - w.r))
  if (vehicle === "unicycle") {
    return {
      frameShape: ramp(Math.abs(frame.cx - a.cx) / a.r, 0.8, 0.2) * ramp(height(frame) / width(frame), 0.8, 1.5),
      frameHeight: ramp((top - frame.y0) / a.r, 0, 0.3) * ramp(frame.y1, top - 2, top + 2)
    }
  }
  if (b === undefined) return { frameShape: 0, frameHeight: 0 }
  const apart = b.cx - a.cx
  const radius = (a.r + b.r) / 2
  const span = ramp((Math.min(frame.x1, b.cx) - Math.max(frame.x0, a.cx)) / apart, 0.5, 0.9)
  switch (vehicle) {
    case "bicycle":
      return {
        frameShape: span * ramp(frame.area / (apart * apart), 0, 0.1),
        frameHeight: ramp((top - frame.y0) / radius, 0, 0.5) * ramp(frame.y1, top, top + radius * 0.6),
        wheelSize: ramp(apart / radius, 6.5, 5) * ramp(radius, 3, 6)
      }
    case "skateboard":
      return {
        frameShape: span * ramp(width(frame) / height(frame), 2, 4),
        frameHeight: ramp(a.cy - frame.cy, 0, 3),
        wheelSize: ramp(apart / radius, 3, 5)
      }
    case "scooter": {
      const upper = union(blobs(picture, where(picture, mask, (_, y) => y < frame.y0 + 0.5 * height(frame)), 0))
      const side = upper === undefined ? 0 : Math.abs(upper.cx - (a.cx + b.cx) / 2) / apart
      return {
        frameShape: span * ramp(side, 0.1, 0.3),
        frameHeight: ramp(height(frame) / apart, 0.3, 0.7),
        wheelSize: ramp(apart / radius, 3.5, 5.5)
      }
    }
  }
}

/** `mine` admits the pixels (x, y in units) that may belong to the frame. */
export const readVehicle = (
  picture: Picture,
  vehicle: Vehicle,
  paint: Colour,
  wheels: Wheels,
  mine: (x: number, y: number) => boolean
): Parts => {
  const { chosen, found } = wheels
  const [a, b] = chosen
  const wanted = wheelCount(vehicle)
  const quality = chosen.reduce((sum, w) => sum + w.quality, 0) / wanted
  const surplus = vehicle === "unicycle" ? countScore(Math.max(1, found), 1) : 1
  const mask = where(picture, maskOf(picture, paint), (x, y) =>
    mine(x, y) && (paint !== "black" || !wheels.chosen.some((w) => Math.abs(Math.hypot(w.cx - x, w.cy - y) - w.r) < 2.5)))
  const frame = union(blobs(picture, mask, 0.7))
  const parts: Parts = {
    wheels: clamp(1.1 * quality) * surplus,
    frame: frame === undefined ? 0 : ramp(frame.area, 0, 30),
    ...(frame === undefined ? { frameShape: 0, frameHeight: 0 } : frameShape(vehicle, frame, mask, picture, chosen))
  }
  if (wanted === 1) return parts
  return {
    ...parts,
    wheelsEqual: a === undefined || b === undefined ? 0 : equal(a, b) ** 2,
    wheelsLevel: a === undefined || b === undefined ? 0 : level(a, b)
  }
}
