/**
 * What an honest guide model answers about the pictures it was sent: measured with the scene grammar's check, from the
 * pixels alone. Any test server can stand behind it.
 */
import { inflateSync } from "node:zlib"
import { resize } from "../../src/drawing/resize.ts"
import { checkScene, parseCaption, type SceneCheck } from "../../src/scenes/index.ts"

export interface Shown {
  /** Every text of the question, joined by line breaks. */
  readonly text: string
  /** Base64 PNGs in the order they were shown. */
  readonly images: ReadonlyArray<string>
  /** JSON schema of the answer that was asked for: its shape says what kind of question it is. */
  readonly schema: Readonly<Record<string, unknown>>
  /** What the first place is worth to a judge with a favourite one. Default 0. */
  readonly firstPlaceBonus?: number
}

/** The pixels of a PNG as this project writes them: RGB, no filter, one IDAT. */
const decodePng = (base64: string) => {
  const png = Buffer.from(base64, "base64")
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)]
  if (png[25] !== 2) throw new Error("not RGB")
  const idat = png.indexOf("IDAT")
  const rows = inflateSync(png.subarray(idat + 4, idat + 4 + png.readUInt32BE(idat - 4)))
  const rgba = new Uint8Array(width * height * 4).fill(255)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) rgba[(y * width + x) * 4 + c] = rows[y * (width * 3 + 1) + 1 + x * 3 + c]!
    }
  }
  return { width, height, rgba, channels: 4 as const }
}

/** As the check reads it: 64 pixels a side. */
const small = ({ height, rgba, width }: ReturnType<typeof decodePng>) => ({
  width: 64,
  height: 64,
  rgba: resize(rgba, width, height, 64, 64, "box")
})

const requestIn = (text: string): string => {
  const asked = /^The request: (".*")$/m.exec(text)
  if (asked === null) throw new Error("no request in the question")
  return JSON.parse(asked[1]!) as string
}

const checks = ({ images, text }: Shown): ReadonlyArray<SceneCheck> => {
  const scene = parseCaption(requestIn(text))
  return images.map((image) => scene === undefined ? { score: 0, parts: {} } : checkScene(scene, small(decodePng(image))))
}

const pair = (shown: Shown): unknown => {
  const scores = checks(shown).map(({ score }) => score)
  const gap = scores[0]! - scores[1]! + (shown.firstPlaceBonus ?? 0)
  const better = Math.abs(gap) < 0.02 ? "tie" : gap > 0 ? "first" : "second"
  const criterion = { note: `scores ${scores.map((score) => score.toFixed(3)).join(" and ")}`, better }
  return {
    differences: criterion.note,
    semantic_match: criterion,
    drawing_validity: criterion,
    clean_shapes: criterion,
    safety: { note: "both are harmless", better: "tie" },
    better,
    confidence: better === "tie" ? 0 : Math.min(1, 0.5 + Math.abs(gap))
  }
}

const list = (shown: Shown): unknown => {
  const scores = checks(shown).map(({ score }, i) => score + (i === 0 ? shown.firstPlaceBonus ?? 0 : 0))
  return {
    differences: scores.map((score, i) => `picture ${i + 1} measures ${score.toFixed(3)}`).join(", "),
    pictures: scores.map((score, i) => ({
      number: i + 1,
      note: `measured ${score.toFixed(3)}`,
      score: Math.max(1, Math.min(100, Math.round(100 * score)))
    }))
  }
}

/** How each measured part is asked for, and of which kind the question is. */
const questions: Readonly<Record<string, readonly [kind: "global" | "subject" | "relation", question: string]>> = {
  clean: ["global", "Is there nothing in the picture that was not asked for?"],
  border: ["global", "Does everything lie within the picture?"],
  size: ["global", "Does the drawing fill most of the picture?"],
  connected: ["global", "Does the drawing hang together?"],
  count: ["subject", "Is the number of things right?"],
  figure: ["subject", "Has each thing its shape and colour?"],
  "creature.body": ["subject", "Is there a body in the colour asked for?"],
  "creature.proportion": ["subject", "Has the body the animal's proportions?"],
  "vehicle.wheels": ["subject", "Are there as many wheels as the vehicle has?"],
  "vehicle.frame": ["subject", "Is there a frame in the colour asked for?"],
  "vehicle.frameShape": ["subject", "Has the frame its shape?"],
  above: ["relation", "Does the animal sit above the wheels?"],
  relation: ["relation", "Do the two things stand to one another as asked?"]
}
const partAsked = new Map(Object.entries(questions).map(([part, [, question]]) => [question, part]))

const partsOf: Readonly<Record<string, ReadonlyArray<string>>> = {
  count: ["clean", "border", "count", "figure", "size"],
  relation: ["clean", "border", "size", "count", "figure", "relation"],
  sizes: ["clean", "border", "size", "count", "figure", "relation"],
  creature: ["clean", "border", "size", "connected", "creature.body"],
  vehicle: ["clean", "border", "size", "connected", "vehicle.wheels", "vehicle.frame", "vehicle.frameShape"],
  rider: ["clean", "border", "size", "connected", "creature.body", "vehicle.wheels", "vehicle.frame", "above"]
}

const decomposition = ({ text }: Shown): unknown => {
  const scene = parseCaption(requestIn(text))
  return {
    requirements: (scene === undefined ? ["clean", "border", "size"] : partsOf[scene.kind]!).map((part) => {
      const [kind, requirement] = questions[part]!
      return { kind, requirement }
    })
  }
}

/** A requirement about a part is met from 0.8 of it on; of others, as many in their order as the whole score is worth. Last one first. */
const checklist = (shown: Shown): unknown => {
  const asked = [...shown.text.matchAll(/^(\d+)\. (.*)$/gm)]
  const { parts, score } = checks(shown)[0]!
  const others = asked.filter(([, , question]) => !partAsked.has(question!))
  return {
    requirements: asked.toReversed().map((row) => {
      const part = partAsked.get(row[2]!)
      const value = part === undefined ? score : parts[part] ?? 0
      return {
        number: Number(row[1]),
        evidence: `${part ?? "all of it"} measures ${value.toFixed(3)}`,
        met: part === undefined ? score > (others.indexOf(row) + 0.5) / others.length : value >= 0.8
      }
    })
  }
}

const semantic = /^(count|relation|above|figure|creature|vehicle)/

/** Every part that is not there whole is a defect: of meaning, from edge to edge; of tidiness, half a side wide. */
const defects = (shown: Shown): unknown => {
  const { parts, score } = checks(shown)[0]!
  const poor = Object.entries({ ...parts, all: score }).filter(([, value]) => value < 0.95)
  return {
    defects: poor.map(([part, value]) => ({
      box_2d: semantic.test(part) || part === "all" ? [0, 0, 1000, 1000] : [250, 250, 750, 750],
      label: semantic.test(part) || part === "all" ? "misalignment" : "artifact",
      description: `${part} measures ${value.toFixed(3)}`,
      importance: Math.max(1, Math.round(100 * (1 - value)))
    }))
  }
}

/** The score of the check, and the part that is worst. */
const critique = (shown: Shown): unknown => {
  const { parts, score } = checks(shown)[0]!
  const [part, value] = Object.entries(parts).toSorted(([, a], [, b]) => a - b)[0] ?? ["all of it", score]
  return {
    score: Math.round(100 * score) / 10,
    critique: `${part} measures ${value.toFixed(3)}`,
    suggestions: score < 0.9 ? `Draw ${part} right.` : "Nothing."
  }
}

/** What rows of an answer's only list hold. */
const rowsOf = (schema: Shown["schema"], name: string): ReadonlyArray<string> => {
  const { [name]: rows } = schema["properties"] as Readonly<Record<string, { readonly items: { readonly properties: object } }>>
  return Object.keys(rows!.items.properties)
}

/** Throws where the question is none that it knows. */
export const honestAnswer = (shown: Shown): unknown => {
  const asked = Object.keys((shown.schema["properties"] ?? {}) as object)
  if (asked.includes("better")) return pair(shown)
  if (asked.includes("pictures")) return list(shown)
  if (asked.includes("defects")) return defects(shown)
  if (asked.includes("critique")) return critique(shown)
  if (asked.includes("requirements")) return rowsOf(shown.schema, "requirements").includes("met") ? checklist(shown) : decomposition(shown)
  throw new Error(`nobody taught me to answer with ${asked.join(", ")}`)
}
