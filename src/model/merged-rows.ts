/** The matrices of a base with an adapter folded in, W + scale B A, some rows at a time; or of the base alone. */
import * as fs from "node:fs"
import * as path from "node:path"
import { addLowRank } from "../engine/weights/low-rank.ts"
import { factorsOf, loraNames } from "../engine/weights/parameters.ts"
import { toFloat32 } from "../engine/weights/safetensors.ts"
import type { FactorFiles } from "./lora-factors.ts"
import { CheckpointInvalid, type DecoderCheckpoint, readTensor } from "./model-folder.ts"

/** Bytes read for one block, but at least one row. */
const blockBytes = 2 ** 22

/** Some rows of a tensor. */
export interface Rows {
  /** As they are in the base's file. */
  readonly bytes: Uint8Array
  /** With the adapter, float32. Sums are at least float32, whatever the files hold. */
  readonly values: () => Float32Array
  /** Whether the adapter changes them. */
  readonly adapted: boolean
}

/**
 * A tensor's rows, in order; `values` is called at most once. Blocks the thread; throws `CheckpointInvalid`, and what the file system throws.
 *
 * @param together every block but the last has a multiple of so many rows
 */
export function* mergedRows(base: DecoderCheckpoint, adapter: FactorFiles | undefined, name: string, together = 1): Generator<Rows> {
  const entry = base.index.get(name)!
  const module = name.replace(/\.weight$/, "")
  const factors = adapter?.modules.includes(module) ? factorsOf(adapter.lora, module) : undefined
  const [A, B] = [loraNames(module).A, loraNames(module).B].map((name) => factors && readTensor(adapter!.files, name).data)
  const rows = entry.shape[0] ?? 1
  const rowBytes = entry.length / rows
  const step = Math.max(1, Math.floor(blockBytes / rowBytes / together)) * together
  const fd = fs.openSync(path.join(base.folder, entry.file), "r")
  try {
    for (let row = 0; row < rows; row += step) {
      const count = Math.min(step, rows - row)
      const bytes = new Uint8Array(count * rowBytes)
      if (fs.readSync(fd, bytes, 0, bytes.length, entry.offset + row * rowBytes) < bytes.length) {
        throw new CheckpointInvalid({ message: `${path.join(base.folder, entry.file)} ended while it was read. Fetch it again.` })
      }
      const values = () => {
        const wide = toFloat32(bytes, entry.dtype)
        if (factors !== undefined) {
          addLowRank(wide, B!.subarray(row * factors.r, (row + count) * factors.r), A!, factors.r, factors.scale)
        }
        return wide
      }
      yield { bytes, values, adapted: factors !== undefined }
    }
  } finally {
    fs.closeSync(fd)
  }
}

/** Throws `CheckpointInvalid` if a value's magnitude is not under `limit`. @param kind of number, such as float16 */
export const needWithin = (values: Float32Array, limit: number, name: string, kind: string, flag: string): void => {
  let at = 0
  while (at < values.length && Math.abs(values[at]!) < limit) at++
  const beyond = values[at]
  if (beyond === undefined) return
  throw new CheckpointInvalid({
    message: `${name} would hold ${beyond}, which is no ${kind}: ${
      Number.isFinite(beyond) ? `choose another ${flag}` : "the base or the adapter is broken"
    }.`
  })
}
