/**
 * Creatures in profile, facing right, sitting on the origin: y = 0 is the underside of the body, about 28 units high.
 */
import type { Colour, Creature } from "./grammar.ts"
import { type Build, circle, type Drawing, ellipse, filled, polygon, stroked } from "./shape.ts"

/** The colour of a creature whose caption names none. */
export const defaultCoat: Record<Creature, Colour> = {
  pelican: "gray",
  cat: "orange",
  fish: "blue",
  snail: "green",
  owl: "brown",
  rabbit: "gray"
}

/** Beaks and feet; never the colour of the body. */
export const accent = (coat: Colour): Colour => (coat === "orange" ? "yellow" : "orange")

/** Snail shells; never the colour of the body. */
export const shellColour = (coat: Colour): Colour => (coat === "brown" ? "orange" : "brown")

/** Eyes that show on the body. */
export const eyeColour = (coat: Colour): "black" | "white" => (coat === "black" ? "white" : "black")

const pelican = (coat: Colour, legs: string, build: Build): Drawing => [
  stroked("legs", legs, accent(coat), 2),
  // Tail, back, nape, crown, throat and breast in one outline: fewer numbers than a body, a neck and a head.
  filled("body", "M-17 -11Q-6 -16 4 -13Q11 -14 8 -20Q5 -30 14 -28L13 -21Q16 -6 3 -2L-8 -3Z", coat),
  filled("beak", build === "good" ? "M13 -28L31 -23Q22 -9 12 -21Z" : "M13 -27L24 -24Q20 -23 12 -23Z", accent(coat)),
  circle("eye", 11, -26, 1.2, eyeColour(coat))
]

const cat = (coat: Colour, build: Build): Drawing => [
  stroked("tail", "M-7 -3Q-20 -4 -15 -16", coat, 3),
  filled("body", "M-10 0Q-10 -17 3 -16Q11 -12 10 0Z", coat),
  filled("head", `M-3 -16${build === "good" ? "L-3 -28L3 -24L9 -24L15 -28" : "L-2 -22L2 -25L10 -25L14 -22"}L15 -16Q6 -7 -3 -16Z`, coat),
  circle("eye", 3, -19, 1.2, eyeColour(coat)),
  circle("eye", 10, -19, 1.2, eyeColour(coat))
]

const fish = (coat: Colour, build: Build): Drawing => [
  polygon("tail", build === "good" ? [-9, -9, -20, -18, -20, 0] : [-9, -9, -15, -11, -15, -7], coat),
  ellipse("body", 1, -9, 14, 8, coat),
  polygon("fin", [-4, -15, 5, -15, -2, -22], coat),
  circle("eye", 9, -11, 1.5, eyeColour(coat))
]

const snail = (coat: Colour, build: Build): Drawing => [
  filled("body", "M-18 0Q-8 -8 6 -6L9 -17L15 -17Q18 0 8 0Z", coat),
  circle("shell", -3, build === "good" ? -11 : -7, build === "good" ? 9 : 4, shellColour(coat)),
  stroked("spiral", build === "good" ? "M-3 -11Q1 -16 -4 -17Q-11 -12 -4 -6" : "M-3 -7Q-1 -9 -4 -9Q-6 -7 -4 -5", coat, 2),
  stroked("stalks", "M11 -16L9 -23M13 -16L17 -23", coat, 2),
  circle("eye", 9, -23, 1.4, coat === "black" ? "red" : "black"),
  circle("eye", 17, -23, 1.4, coat === "black" ? "red" : "black")
]

const owl = (coat: Colour, build: Build): Drawing => [
  stroked("legs", "M-4 -2L-4 3M4 -2L4 3", accent(coat), 2),
  filled("body", "M-10 -27L-4 -24L4 -24L10 -27Q15 -2 0 0Q-15 -2 -10 -27Z", coat),
  circle("eyewhite", -5, -17, 4, "white"),
  circle("eyewhite", 5, -17, build === "good" ? 4 : 2, "white"),
  circle("eye", -4, -17, 2, "black"),
  circle("eye", build === "good" ? 4 : 5, -17, build === "good" ? 2 : 1, "black"),
  polygon("beak", [-2, -14, 2, -14, 0, -9], accent(coat))
]

const rabbit = (coat: Colour, build: Build): Drawing => [
  ellipse("body", -3, -8, 11, 8, coat),
  circle("tail", -14, -6, 3, coat === "pink" ? "gray" : "pink"),
  circle("head", 8, -15, 6, coat),
  ellipse("ear", 5, build === "good" ? -25 : -20, 2, build === "good" ? 7 : 3, coat),
  ellipse("ear", 11, build === "good" ? -25 : -20, 2, build === "good" ? 7 : 3, coat),
  circle("eye", 10, -16, 1.2, eyeColour(coat))
]

/**
 * `legs`: path of the legs of a pelican, which reach for the pedals when it rides. `misshapen`: a pelican without its
 * pouch, a cat without ears, a fish or a snail with next to no tail or shell, an owl with eyes of two sizes, a rabbit
 * with ears too short.
 */
export const drawCreature = (
  creature: Creature,
  coat: Colour,
  legs = "M-3 -3L-3 7L1 7M3 -3L3 7L7 7",
  build: Build = "good"
): Drawing => {
  switch (creature) {
    case "pelican":
      return pelican(coat, legs, build)
    case "cat":
      return cat(coat, build)
    case "fish":
      return fish(coat, build)
    case "snail":
      return snail(coat, build)
    case "owl":
      return owl(coat, build)
    case "rabbit":
      return rabbit(coat, build)
  }
}

/** Parts whose absence shows. */
export const essentialParts: Record<Creature, ReadonlyArray<string>> = {
  pelican: ["beak", "legs", "eye"],
  cat: ["head", "eye"],
  fish: ["tail", "eye"],
  snail: ["shell", "eye"],
  owl: ["eyewhite", "beak", "legs"],
  rabbit: ["ear", "eye"]
}

/** Parts that look torn off once they stand apart from the body. */
export const looseParts: Record<Creature, ReadonlyArray<string>> = {
  pelican: ["beak"],
  cat: ["head"],
  fish: ["tail"],
  snail: ["shell"],
  owl: ["beak"],
  rabbit: ["ear"]
}
