/** Reads preprocessor_config.json: how a picture becomes what a checkpoint was trained on. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { CheckpointInvalid, readJson } from "../model/model-folder.ts"
import type { Preprocessing } from "./preprocessing-steps.ts"

const Side = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4096 }))
const Size = Schema.Union([
  Side,
  Schema.Struct({ height: Side, width: Side }),
  Schema.Struct({ shortest_edge: Side })
])
const Channels = Schema.Tuple([Schema.Finite, Schema.Finite, Schema.Finite])
const optional = Schema.optionalKey

const PreprocessorJson = Schema.Struct({
  do_resize: optional(Schema.NullOr(Schema.Boolean)),
  size: optional(Schema.NullOr(Size)),
  do_center_crop: optional(Schema.NullOr(Schema.Boolean)),
  crop_size: optional(Schema.NullOr(Size)),
  do_rescale: optional(Schema.NullOr(Schema.Boolean)),
  rescale_factor: optional(Schema.Finite),
  do_normalize: optional(Schema.NullOr(Schema.Boolean)),
  image_mean: optional(Schema.NullOr(Channels)),
  image_std: optional(Schema.NullOr(Channels)),
  /** Pillow's number of the filter that pictures are resized with. */
  resample: optional(Schema.NullOr(Schema.Literals([1, 2, 3, 4])))
})
const filterNames = { 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box" } as const

/** What the family's image processor of transformers does if the file does not say. */
export interface PreprocessingDefaults {
  readonly size: number
  /** Undefined: nothing is cut. */
  readonly crop?: number | undefined
  readonly mean: ReadonlyArray<number>
  readonly std: ReadonlyArray<number>
}

/** OpenAI's CLIP. */
export const clipColours = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711]
} as const

/**
 * For square pictures: only those are judged, so the shortest edge is every edge. A picture is always resized to
 * `size`, whatever `do_resize` says: it has the size asked of the renderer, and the graph has its own.
 */
export const readPreprocessing = Effect.fnUntraced(function*(folder: string, defaults: PreprocessingDefaults) {
  const file = "preprocessor_config.json"
  const json: typeof PreprocessorJson.Type = fs.existsSync(path.join(folder, file))
    ? yield* readJson(folder, file, PreprocessorJson)
    : {}
  const square = Effect.fnUntraced(function*(key: "size" | "crop_size", fallback: number) {
    const size = json[key] ?? fallback
    if (typeof size === "number") return size
    if ("shortest_edge" in size) return size.shortest_edge
    if (size.height === size.width) return size.height
    return yield* new CheckpointInvalid({
      message: `${path.join(folder, file)} asks for ${size.width} x ${size.height} pixels as ${key}: only square sizes are judged here.`
    })
  })
  const resized = yield* square("size", defaults.size)
  const crops = json.do_center_crop ?? defaults.crop !== undefined
  const normalises = json.do_normalize ?? true
  return {
    resized,
    side: crops ? yield* square("crop_size", defaults.crop ?? resized) : resized,
    filter: filterNames[json.resample ?? 3],
    factor: json.do_rescale ?? true ? json.rescale_factor ?? 1 / 255 : 1,
    mean: normalises ? json.image_mean ?? defaults.mean : [0, 0, 0],
    std: normalises ? json.image_std ?? defaults.std : [1, 1, 1]
  } satisfies Preprocessing as Preprocessing
})

/** Fails with `CheckpointInvalid` if the pictures' size does not match the position embeddings. */
export const checkSide = ({ side }: Preprocessing, imageSize: number, folder: string) =>
  side === imageSize ? Effect.void : Effect.fail(
    new CheckpointInvalid({
      message: `${folder}: preprocessor_config.json makes pictures of ${side} pixels, but config.json asks for ${imageSize}.`
    })
  )
