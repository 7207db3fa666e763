/** What trainers of a CLIP feed and keep, whatever its pairs show: batches of texts and pictures, and checkpoints. */
import * as fs from "node:fs"
import * as v8 from "node:v8"
import type { Tokenizer } from "@huggingface/tokenizers"
import { type Feeds, float32, int64 } from "../layers/onnx/session.ts"
import { textEnd } from "../src/engine/nets/clip.ts"
import { type Parameters, padTo } from "../src/engine/weights/tensor.ts"
import { normalisePixels } from "../src/scorers/pixels.ts"
import { eosTokenId, maxPositions, normalisation } from "./clip-folder.ts"

/** [text, maxPositions] ids, and where each text ends. */
export const textFeeds = (tokenizer: Tokenizer, texts: ReadonlyArray<string>): Feeds => {
  const ids = texts.map((text) => padTo([...tokenizer.encode(text).ids.slice(0, maxPositions - 1), eosTokenId], maxPositions))
  return {
    ids: int64([ids.length, maxPositions], ids.flat()),
    ends: int64([ids.length], ids.map((own, n) => n * maxPositions + textEnd(own, eosTokenId)))
  }
}

/** [picture, 3, side, side] from RGBA bytes. */
export const pictureFeeds = (pictures: ReadonlyArray<Uint8Array>, side: number): Feeds => {
  const plane = 3 * side * side
  const pixels = new Float32Array(pictures.length * plane)
  pictures.forEach((rgba, i) => normalisePixels(rgba, normalisation, pixels, i * plane))
  return { pixels: float32([pictures.length, 3, side, side], pixels) }
}

/** Where a column that is not the row's own is right too: [row, column], added to the logits. */
export const alsoRight = (rows: number, columns: number, right: (row: number, column: number) => boolean) =>
  float32(
    [rows, columns],
    Float32Array.from({ length: rows * columns }, (_, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns]
      return row !== column && right(row, column) ? -1e4 : 0
    })
  )

export interface Checkpoint {
  readonly step: number
  readonly seconds: number
  /** The loss, smoothed. */
  readonly smooth: number | undefined
  readonly curve: Array<{ step: number; loss: number; seconds: number }>
  readonly parameters: Parameters
  readonly moments: Parameters
}

/** The checkpoint OUT.partial of a training with these settings. Throws if OUT is there, or the checkpoint is of other settings. */
export const checkpoints = (out: string, settings: unknown) => {
  const file = `${out}.partial`
  const own = JSON.stringify(settings)
  if (fs.existsSync(out)) throw new Error(`${out} is already there: move it away`)
  return {
    read: (): Checkpoint | undefined => {
      if (!fs.existsSync(file)) return undefined
      const { settings: its, ...found } = v8.deserialize(fs.readFileSync(file)) as Checkpoint & { readonly settings: unknown }
      if (JSON.stringify(its) !== own) throw new Error(`${file} is of other settings: move it away`)
      return found
    },
    /** The old one is replaced in one step. */
    write: (checkpoint: Checkpoint): void => {
      fs.writeFileSync(`${file}.new`, v8.serialize({ settings, ...checkpoint }))
      fs.renameSync(`${file}.new`, file)
    },
    remove: (): void => fs.rmSync(file, { force: true })
  }
}
