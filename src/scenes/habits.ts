/**
 * What a pretrained model does that nobody asked for: for every kind of prompt one wrong way, always the same. The
 * embedded policy learned to draw most of its drawings so (models/make-policy-base.ts); preference has to mend it.
 *
 * A habit goes by what carries over to scenes that training never showed (the creature, the vehicle, the number, the
 * relation, the figure), and is drawn with as many shapes and numbers as the right way; a wrong number of things is one too
 * many or one too few.
 */
import type { Random } from "../engine/random.ts"
import { type Builds, layOut } from "./draw.ts"
import { withSwappedColours } from "./flaws.ts"
import { type Count, creatures, figures, type Relation, type Scene, vehicles } from "./grammar.ts"
import { toSvg } from "./shape.ts"

/** `creature`, `vehicle`: misshapen. `beside`: the rider does not sit. The others name what is wrong. */
export type Habit = "creature" | "vehicle" | "beside" | "number" | "relation" | "colours" | "sizes"

/** How many are drawn instead of 1 to 5. */
const numbers: ReadonlyArray<Count> = [2, 1, 4, 3, 4]

const relationInstead: Readonly<Record<Relation, Relation>> = {
  above: "left of",
  below: "above",
  "left of": "right of",
  "right of": "below",
  inside: "above"
}

const riderHabits = ["creature", "vehicle", "beside"] as const

/** The wrong way in which this scene is mostly drawn. */
export const habitOf = (scene: Scene): Habit => {
  switch (scene.kind) {
    case "creature":
    case "vehicle":
      return scene.kind
    case "rider":
      return riderHabits[(creatures.indexOf(scene.creature) + vehicles.indexOf(scene.vehicle)) % 3]!
    case "count":
      return "number"
    case "relation":
      return figures.indexOf(scene.first.figure) % 2 === 0 ? "relation" : "colours"
    case "sizes":
      return figures.indexOf(scene.big.figure) % 2 === 0 ? "sizes" : "colours"
  }
}

const instead = (scene: Scene): Scene => {
  switch (scene.kind) {
    case "count":
      return { ...scene, count: numbers[scene.count - 1]! }
    case "relation":
      return habitOf(scene) === "colours" ? withSwappedColours(scene) : { ...scene, relation: relationInstead[scene.relation] }
    case "sizes":
      return habitOf(scene) === "colours" ? withSwappedColours(scene) : { ...scene, big: scene.small, small: scene.big }
    default:
      return scene
  }
}

/** The scene that a habitual drawing shows, or undefined where it is a misshapen one of the right scene. */
export const shownByHabit = (scene: Scene): Scene | undefined => builds[habitOf(scene)] === undefined ? instead(scene) : undefined

const builds: Partial<Record<Habit, Builds>> = {
  creature: { creature: "misshapen" },
  vehicle: { vehicle: "misshapen" },
  beside: { rider: "beside" }
}

/** A drawing of the scene in its wrong way, otherwise like those of `drawScene`. */
export const drawHabit = (scene: Scene, draw: Random): string => toSvg(layOut(instead(scene), draw, builds[habitOf(scene)]))
