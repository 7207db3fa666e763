/**
 * A small grammar of drawable scenes: which scenes exist, how each is said in English, and which ones no training data
 * may show.
 */
import { hash32, integer, pick, type Random } from "../engine/random.ts"

export const colours = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "gray"] as const
export type Colour = (typeof colours)[number]

export const creatures = ["pelican", "cat", "fish", "snail", "owl", "rabbit"] as const
export type Creature = (typeof creatures)[number]

export const vehicles = ["bicycle", "unicycle", "skateboard", "scooter"] as const
export type Vehicle = (typeof vehicles)[number]

export const figures = [
  "circle",
  "square",
  "triangle",
  "star",
  "heart",
  "diamond",
  "oval",
  "arrow",
  "moon",
  "bolt",
  "house",
  "tree",
  "crown",
  "flag",
  "boat",
  "hat"
] as const
export type Figure = (typeof figures)[number]

/** Figures wide enough to show another one inside. */
export const containers: ReadonlyArray<Figure> = ["circle", "square", "triangle", "star", "heart", "diamond"]

export const relations = ["above", "below", "left of", "right of", "inside"] as const
export type Relation = (typeof relations)[number]

/** How many figures a counted scene shows. */
export type Count = 1 | 2 | 3 | 4 | 5

/** A figure with its colour, as in "a blue star". */
export interface Thing {
  readonly figure: Figure
  readonly colour: Colour
}

/** What a caption means. A `null` colour is one the caption leaves open. */
export type Scene =
  | { readonly kind: "creature"; readonly creature: Creature; readonly colour: Colour | null }
  | { readonly kind: "vehicle"; readonly vehicle: Vehicle; readonly colour: Colour | null }
  | {
    readonly kind: "rider"
    readonly creature: Creature
    readonly creatureColour: Colour | null
    readonly vehicle: Vehicle
    readonly vehicleColour: Colour | null
  }
  | { readonly kind: "count"; readonly count: Count; readonly thing: Thing }
  | { readonly kind: "relation"; readonly first: Thing; readonly relation: Relation; readonly second: Thing }
  | { readonly kind: "sizes"; readonly big: Thing; readonly small: Thing }

export type Split = "train" | "heldout"

const numerals = ["one", "two", "three", "four", "five"] as const

const withArticle = (words: string): string => (/^(?!uni)[aeiou]/.test(words) ? "an " : "a ") + words
const noun = (colour: Colour | null, name: string): string => (colour === null ? name : `${colour} ${name}`)
const named = (colour: Colour | null, name: string): string => withArticle(noun(colour, name))

/** Every way the grammar says a scene; the first is the canonical one. */
export const captions = (scene: Scene): ReadonlyArray<string> => {
  switch (scene.kind) {
    case "creature":
      return [named(scene.colour, scene.creature), `a drawing of ${named(scene.colour, scene.creature)}`]
    case "vehicle":
      return [named(scene.colour, scene.vehicle), `a drawing of ${named(scene.colour, scene.vehicle)}`]
    case "rider": {
      const who = named(scene.creatureColour, scene.creature)
      const what = named(scene.vehicleColour, scene.vehicle)
      return [`${who} riding ${what}`, `${who} on ${what}`, `${who} that rides ${what}`]
    }
    case "count": {
      const words = noun(scene.thing.colour, scene.thing.figure)
      return scene.count === 1
        ? [`one ${words}`, withArticle(words)]
        : [`${numerals[scene.count - 1]} ${words}s`, `${scene.count} ${words}s`]
    }
    case "relation": {
      const first = named(scene.first.colour, scene.first.figure)
      const second = named(scene.second.colour, scene.second.figure)
      return relationWords[scene.relation].map((words) => `${first} ${words} ${second}`)
    }
    case "sizes": {
      const big = `a big ${noun(scene.big.colour, scene.big.figure)}`
      const small = `a small ${noun(scene.small.colour, scene.small.figure)}`
      return [`${big} and ${small}`, `${small} and ${big}`]
    }
  }
}

const relationWords: Record<Relation, ReadonlyArray<string>> = {
  above: ["above", "over"],
  below: ["below", "under"],
  "left of": ["left of", "to the left of"],
  "right of": ["right of", "to the right of"],
  inside: ["inside", "in"]
}

/** One caption of a scene: the canonical one, or with `draw` any of the paraphrases (canonical half of the time). */
export const caption = (scene: Scene, draw?: Random): string => {
  const all = captions(scene)
  if (draw === undefined || draw() < 0.5) return all[0]!
  return pick(draw, all)
}

const colourPattern = `(?:(${colours.join("|")}) )?`
const fixedColour = `(${colours.join("|")}) `
const figurePattern = `(${figures.join("|")})`
const thingPattern = `an? ${fixedColour}${figurePattern}`
const patterns = {
  creature: new RegExp(`^(?:a drawing of )?an? ${colourPattern}(${creatures.join("|")})$`),
  vehicle: new RegExp(`^(?:a drawing of )?an? ${colourPattern}(${vehicles.join("|")})$`),
  rider: new RegExp(
    `^an? ${colourPattern}(${creatures.join("|")}) (?:riding|on|that rides) an? ${colourPattern}(${vehicles.join("|")})$`
  ),
  count: new RegExp(`^(an?|[1-5]|${numerals.join("|")}) ${fixedColour}${figurePattern}(s?)$`),
  relation: new RegExp(`^${thingPattern} (${Object.values(relationWords).flat().join("|")}) ${thingPattern}$`),
  bigFirst: new RegExp(`^a big ${fixedColour}${figurePattern} and a small ${fixedColour}${figurePattern}$`),
  smallFirst: new RegExp(`^a small ${fixedColour}${figurePattern} and a big ${fixedColour}${figurePattern}$`)
}

const thing = (colour: string | undefined, figure: string | undefined): Thing => ({
  figure: figure as Figure,
  colour: colour as Colour
})

const parseCount = (word: string): Count => {
  const digit = Number(word)
  if (digit > 0) return digit as Count
  return (Math.max(0, numerals.indexOf(word as (typeof numerals)[number])) + 1) as Count
}

/** The scene a caption of this grammar means; `undefined` for any other text. */
export const parseCaption = (text: string): Scene | undefined => {
  let m = patterns.creature.exec(text)
  if (m) return { kind: "creature", creature: m[2] as Creature, colour: (m[1] ?? null) as Colour | null }
  m = patterns.vehicle.exec(text)
  if (m) return { kind: "vehicle", vehicle: m[2] as Vehicle, colour: (m[1] ?? null) as Colour | null }
  m = patterns.rider.exec(text)
  if (m) {
    return {
      kind: "rider",
      creature: m[2] as Creature,
      creatureColour: (m[1] ?? null) as Colour | null,
      vehicle: m[4] as Vehicle,
      vehicleColour: (m[3] ?? null) as Colour | null
    }
  }
  m = patterns.count.exec(text)
  if (m) {
    const count = parseCount(m[1]!)
    return (count === 1) === (m[4] === "") ? { kind: "count", count, thing: thing(m[2], m[3]) } : undefined
  }
  m = patterns.relation.exec(text)
  if (m) {
    const relation = relations.find((r) => relationWords[r].includes(m![3]!))!
    return { kind: "relation", first: thing(m[1], m[2]), relation, second: thing(m[4], m[5]) }
  }
  m = patterns.bigFirst.exec(text)
  if (m) return { kind: "sizes", big: thing(m[1], m[2]), small: thing(m[3], m[4]) }
  m = patterns.smallFirst.exec(text)
  if (m) return { kind: "sizes", big: thing(m[3], m[4]), small: thing(m[1], m[2]) }
  return undefined
}

/** The same scene said one way: nothing is below or right of another thing. */
const normal = (scene: Scene): Scene => {
  if (scene.kind !== "relation") return scene
  const turned = scene.relation === "below" ? "above" : scene.relation === "right of" ? "left of" : undefined
  return turned === undefined ? scene : { ...scene, first: scene.second, relation: turned, second: scene.first }
}

/**
 * The key by which scenes are dealt to train or held-out; colours and paraphrases count only where named here.
 *
 * - creature, vehicle: (object, colour or none)
 * - rider: (creature, its colour or none, vehicle, its colour or none)
 * - count: (figure, count, colour)
 * - relation: (figure, relation, figure) in order; "a below b" is keyed as "b above a" and "a right of b" as
 *   "b left of a", since these show the same picture
 * - sizes: the pair of figures, unordered
 */
export const combination = (said: Scene): string => {
  const scene = normal(said)
  switch (scene.kind) {
    case "creature":
      return `creature/${scene.creature}/${scene.colour ?? "any"}`
    case "vehicle":
      return `vehicle/${scene.vehicle}/${scene.colour ?? "any"}`
    case "rider":
      return `rider/${scene.creature}/${scene.creatureColour ?? "any"}/${scene.vehicle}/${scene.vehicleColour ?? "any"}`
    case "count":
      return `count/${scene.thing.figure}/${scene.count}/${scene.thing.colour}`
    case "relation":
      return `relation/${scene.first.figure}/${scene.relation}/${scene.second.figure}`
    case "sizes":
      return `sizes/${[scene.big.figure, scene.small.figure].toSorted().join("/")}`
  }
}

const colourAs = (shown: Colour | null, asked: Colour | null): boolean => asked === null || shown === asked
const thingAs = (shown: Thing, asked: Thing): boolean => shown.figure === asked.figure && shown.colour === asked.colour

/** Whether a good drawing of `shown` is one of `asked` too; a colour that `asked` leaves open may be any. */
export const satisfies = (shown: Scene, asked: Scene): boolean => {
  const [a, b] = [normal(shown), normal(asked)]
  switch (a.kind) {
    case "creature":
      return b.kind === a.kind && a.creature === b.creature && colourAs(a.colour, b.colour)
    case "vehicle":
      return b.kind === a.kind && a.vehicle === b.vehicle && colourAs(a.colour, b.colour)
    case "rider":
      return b.kind === a.kind && a.creature === b.creature && colourAs(a.creatureColour, b.creatureColour)
        && a.vehicle === b.vehicle && colourAs(a.vehicleColour, b.vehicleColour)
    case "count":
      return b.kind === a.kind && a.count === b.count && thingAs(a.thing, b.thing)
    case "relation":
      return b.kind === a.kind && a.relation === b.relation && thingAs(a.first, b.first) && thingAs(a.second, b.second)
    case "sizes":
      return b.kind === a.kind && thingAs(a.big, b.big) && thingAs(a.small, b.small)
  }
}

const alwaysTrained = new Set(["creature/pelican/any", "vehicle/bicycle/any", "rider/pelican/any/bicycle/any"])

/** Changing this number deals the combinations again, so that earlier held-out figures are no longer comparable. */
const splitSalt = 1

/**
 * Whether a scene's `combination` is among those that training never sees: about 15 % of each kind, of counts 10 %: one
 * number of each figure in half of the colours, so that a number is far rarer for a figure than the others are; every
 * number is so for as many figures as another.
 */
export const isHeldOut = (scene: Scene): boolean => {
  if (scene.kind === "count") {
    const { colour, figure } = scene.thing
    return (figures.indexOf(figure) * 2) % 5 === scene.count - 1 && (figures.indexOf(figure) + colours.indexOf(colour)) % 2 === 0
  }
  const key = combination(scene)
  if (alwaysTrained.has(key)) return false
  return hash32(splitSalt, ...Array.from(key, (c) => c.charCodeAt(0))) % 100 < 15
}

/** Odds of each kind; riders and pelicans are what the project is about. */
const kindOdds: ReadonlyArray<readonly [Scene["kind"], number]> = [
  ["rider", 0.34],
  ["count", 0.17],
  ["relation", 0.17],
  ["creature", 0.14],
  ["vehicle", 0.09],
  ["sizes", 0.09]
]

const pickKind = (draw: Random): Scene["kind"] => {
  let left = draw()
  for (const [kind, odds] of kindOdds) {
    left -= odds
    if (left < 0) return kind
  }
  return "rider"
}

const pickCreature = (draw: Random): Creature => (draw() < 0.4 ? "pelican" : pick(draw, creatures))
const pickVehicle = (draw: Random): Vehicle => (draw() < 0.3 ? "bicycle" : pick(draw, vehicles))
const maybeColour = (draw: Random): Colour | null => (draw() < 0.35 ? null : pick(draw, colours))

const pickThings = (draw: Random): readonly [Thing, Thing] => {
  const first: Thing = { figure: pick(draw, figures), colour: pick(draw, colours) }
  // Two things of one colour could not be told apart once they touch.
  const second: Thing = { figure: pick(draw, figures), colour: pick(draw, colours.filter((c) => c !== first.colour)) }
  return [first, second]
}

const sampleKind = (draw: Random, kind: Scene["kind"]): Scene => {
  switch (kind) {
    case "creature":
      return { kind, creature: pickCreature(draw), colour: maybeColour(draw) }
    case "vehicle":
      return { kind, vehicle: pickVehicle(draw), colour: maybeColour(draw) }
    case "rider": {
      const creatureColour = maybeColour(draw)
      const drawn = maybeColour(draw)
      const clash = drawn !== null && drawn === creatureColour
      const vehicleColour = clash ? pick(draw, colours.filter((c) => c !== drawn)) : drawn
      return { kind, creature: pickCreature(draw), creatureColour, vehicle: pickVehicle(draw), vehicleColour }
    }
    case "count":
      return {
        kind,
        count: (integer(draw, 5) + 1) as Count,
        thing: { figure: pick(draw, figures), colour: pick(draw, colours) }
      }
    case "relation": {
      const [first, second] = pickThings(draw)
      const relation = pick(draw, relations)
      if (relation !== "inside") return { kind, first, relation, second }
      return { kind, first, relation, second: { ...second, figure: pick(draw, containers) } }
    }
    case "sizes": {
      const [big, small] = pickThings(draw)
      return { kind, big, small }
    }
  }
}

/** A scene of the split and the kind asked for. Without a kind it is drawn first, so both splits show the kinds equally often. */
export const sampleScene = (draw: Random, split: Split, kind: Scene["kind"] = pickKind(draw)): Scene => {
  for (;;) {
    const scene = sampleKind(draw, kind)
    if (isHeldOut(scene) === (split === "heldout")) return scene
  }
}
