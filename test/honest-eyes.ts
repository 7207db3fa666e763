/**
 * What an honest guide model answers about the pictures it was sent: measured with the scene grammar's check, from the
 * pixels alone. Any test server can stand behind it.
 */
import { inflateSync } from "node:zlib"
import { resize } from "../src/numerics/resize.ts"
import { checkScene, parseCaption, type SceneCheck } from "../src/scenes/index.ts"

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

/** Throws where the question is none that it knows. */
export const honestAnswer = (shown: Shown): unknown => {
  const asked = Object.keys((shown.schema["properties"] ?? {}) as object)
  if (asked.includes("better")) return pair(shown)
  throw new Error(`nobody taught me to answer with ${asked.join(", ")}`)
}
