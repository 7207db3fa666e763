/**
 * What a caption says and a drawing shows, as labels: which colour, figure and number plays which role, and what is wrong
 * with a drawing. A linear head reads them from the embeddings while a CLIP trains, and is thrown away afterwards.
 *
 * Pairs of caption and drawing alone taught slowly who is above whom (README.md): neither tower gains by telling roles
 * apart before the other does.
 */
import { type Feeds, float32 } from "../layers/onnx/session.ts"
import { type Graph, type Value } from "../src/engine/graph/graph.ts"
import type { Get } from "../src/engine/weights/parameters.ts"
import { colours, creatures, figures, type Relation, type Scene, type Thing, vehicles } from "../src/scenes/grammar.ts"

const sides: Readonly<Record<Relation, readonly [first: string, second: string]>> = {
  above: ["top", "bottom"],
  below: ["bottom", "top"],
  "left of": ["left", "right"],
  "right of": ["right", "left"],
  inside: ["inner", "outer"]
}
const roles = [...new Set(Object.values(sides).flat()), "big", "small", "thing"]
const counts = [1, 2, 3, 4, 5]

/** What can be wrong with a drawing that is no good one of any scene. */
export const faults = ["misshapen", "beside", "overturned", "missing-part", "unequal-wheels", "off-canvas", "detached", "stray-object", "tiny", "jitter"] as const
export type Fault = (typeof faults)[number]

const told = (role: string, ...what: ReadonlyArray<string | number | null>): Array<string> =>
  what.flatMap((one) => (one === null ? [] : [`${role} ${one}`]))

const names = [
  ...roles.flatMap((role) => told(role, ...colours, ...figures)),
  ...told("creature", ...colours, ...creatures),
  ...told("vehicle", ...colours, ...vehicles),
  ...told("count", ...counts),
  ...told("fault", ...faults)
]
export const factCount = names.length

const thing = (role: string, { colour, figure }: Thing): Array<string> => told(role, colour, figure)

const factsOf = (scene: Scene): Array<string> => {
  switch (scene.kind) {
    case "creature":
      return told("creature", scene.creature, scene.colour)
    case "vehicle":
      return told("vehicle", scene.vehicle, scene.colour)
    case "rider":
      return [...told("creature", scene.creature, scene.creatureColour), ...told("vehicle", scene.vehicle, scene.vehicleColour)]
    case "count":
      return [...told("count", scene.count), ...thing("thing", scene.thing)]
    case "relation": {
      const [first, second] = sides[scene.relation]
      return [...thing(first, scene.first), ...thing(second, scene.second)]
    }
    case "sizes":
      return [...thing("big", scene.big), ...thing("small", scene.small)]
  }
}

/** Facts that the scene leaves open: the colours of a creature or vehicle whose colour is not named. */
const openIn = (scene: Scene): Array<string> => {
  const open = (role: string, colour: unknown) => (colour === null ? told(role, ...colours) : [])
  switch (scene.kind) {
    case "creature":
    case "vehicle":
      return open(scene.kind, scene.colour)
    case "rider":
      return [...open("creature", scene.creatureColour), ...open("vehicle", scene.vehicleColour)]
    default:
      return []
  }
}

export interface Row {
  /** What is said or shown, or undefined where that is not known. */
  readonly scene: Scene | undefined
  /** Of a drawing what is wrong with it, or "none"; absent for a caption. */
  readonly fault?: Fault | "none"
}

const row = ({ fault, scene }: Row) => {
  const holding = new Set([...scene === undefined ? [] : factsOf(scene), ...told("fault", fault ?? null)])
  const open = new Set(scene === undefined ? [] : openIn(scene))
  const known = (name: string) => (name.startsWith("fault ") ? fault !== undefined : scene !== undefined && !open.has(name))
  return { facts: names.map((name) => Number(holding.has(name))), known: names.map((name) => Number(known(name))) }
}

/** `facts`: 1 where it holds; `known`: 0 where nobody can tell. [row, fact] */
export const factFeeds = (rows: ReadonlyArray<Row>): Feeds => {
  const labels = rows.map(row)
  const feed = (of: "facts" | "known") => float32([rows.length, factCount], Float32Array.from(labels.flatMap((one) => one[of])))
  return { facts: feed("facts"), known: feed("known") }
}

export const headShapes = (projection: number) =>
  new Map<string, ReadonlyArray<number>>([["facts.weight", [factCount, projection]], ["facts.bias", [factCount]]])

/** Unit embeddings are short for a linear head: their coordinates become about 1 for 256 of them. */
const stretch = 16

/**
 * The mean over rows of the binary cross-entropies of all facts, nats.
 * @param embeddings [rows, projection], of length 1
 */
export const factLoss = (g: Graph, get: Get, embeddings: Value, rows: number, projection: number): Value => {
  const scores = g.add(
    g.emit("Gemm", [g.scale(embeddings, stretch), get("facts.weight", [factCount, projection])], { transB: 1 }),
    get("facts.bias", [factCount])
  )
  const [facts, known] = [g.input("facts", "float32", [rows, factCount]), g.input("known", "float32", [rows, factCount])]
  const entropy = g.mul(g.sub(g.emit("Softplus", [scores]), g.mul(facts, scores)), known)
  return g.scale(g.sum(entropy, [0, 1]), 1 / rows)
}
