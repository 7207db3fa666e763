/** Vehicles from the side, heading right, standing on y = 0 and centred on x = 0. */
import type { Colour, Vehicle } from "./grammar.ts"
import { type Build, circle, type Drawing, ring, stroked } from "./shape.ts"

export interface Seat {
  /** Where the underside of a rider's body goes. */
  readonly x: number
  readonly y: number
  /** Size of the rider relative to the vehicle. */
  readonly scale: number
  /** Path of a pelican's legs in the rider's own coordinates. */
  readonly legs: string
}

export const seats: Record<Vehicle, Seat> = {
  bicycle: { x: -6, y: -23, scale: 1, legs: "M0 -3L6 14" },
  unicycle: { x: 0, y: -27, scale: 1, legs: "M1 -3L6 14" },
  skateboard: { x: 0, y: -19, scale: 1, legs: "M-4 -3L-4 7L0 7M3 -3L3 7L7 7" },
  scooter: { x: -6, y: -22, scale: 1, legs: "M-4 -3L-4 7L0 7M3 -3L3 7L7 7" }
}

/** How far below the seat a creature without long legs sits, so that it touches the deck. */
export const deckDrop: Record<Vehicle, number> = { bicycle: 1, unicycle: 1, skateboard: 9, scooter: 9 }

/** A saddle shows only while nobody sits on it. */
const saddle = (ridden: boolean, d: string): Drawing => (ridden ? [] : [stroked("saddle", d, "black", 3)])

const bicycle = (paint: Colour, ridden: boolean, build: Build): Drawing => [
  ring("wheel", -15, -10, 9, "black", 3),
  build === "good" ? ring("wheel", 15, -10, 9, "black", 3) : ring("wheel", 15, -6, 5, "black", 3),
  stroked("frame", "M15 -10L8 -26L13 -26M-15 -10L-8 -23L9 -23L0 -10L-8 -23M0 -10L-15 -10", paint, 2),
  ...saddle(ridden, "M-13 -25L-4 -25")
]

const unicycle = (paint: Colour, ridden: boolean, build: Build): Drawing => [
  ring("wheel", build === "good" ? 0 : 12, -12, 11, "black", 3),
  stroked("frame", "M0 -12L0 -29", paint, 3),
  ...saddle(ridden, "M-6 -30L6 -30")
]

const skateboard = (paint: Colour, build: Build): Drawing => [
  circle("wheel", build === "good" ? -13 : 3, -5, 5, "black"),
  circle("wheel", 13, -5, 5, "black"),
  stroked("frame", "M-24 -14L-19 -10L19 -10L24 -14", paint, 3)
]

const scooter = (paint: Colour, build: Build): Drawing => [
  ring("wheel", -17, -6, 5, "black", 3),
  ring("wheel", 17, -6, 5, "black", 3),
  stroked("frame", `M-17 -13L11 -13L17 -6${build === "good" ? "L13 -38L8 -38" : "L15 -17L10 -17"}`, paint, 3)
]

/** `misshapen`: two sizes of wheels, a post beside its wheel, wheels at one end, no handlebar. */
export const drawVehicle = (vehicle: Vehicle, paint: Colour, ridden = false, build: Build = "good"): Drawing => {
  switch (vehicle) {
    case "bicycle":
      return bicycle(paint, ridden, build)
    case "unicycle":
      return unicycle(paint, ridden, build)
    case "skateboard":
      return skateboard(paint, build)
    case "scooter":
      return scooter(paint, build)
  }
}

/** Red, or blue under a red rider. */
export const defaultPaint = (rider: Colour | null): Colour => (rider === "red" ? "blue" : "red")
