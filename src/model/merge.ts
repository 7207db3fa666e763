/**
 * Folds an adapter into its base and writes a new checkpoint folder: every tensor of the base, the adapted ones as W +
 * scale B A. Tensors are read, computed and written in blocks, so a model of any size takes some megabytes.
 *
 * Sums are at least float32, whatever the files hold; a value is rounded to the dtype of the result once.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { CheckpointInvalid, companionFiles, type DecoderCheckpoint } from "./model-folder.ts"
import { explain, FileProblem, needSpace, readBytes, readText, writeFile, writeFolder } from "../system/files.ts"
import type { FactorFiles } from "./lora-factors.ts"
import { mergedRows, needWithin } from "./merged-rows.ts"
import { byteLength, encodeHeader, encodeValues, type FileDType, isFloat } from "../engine/weights/safetensors.ts"
import { type Shard, shardIndex, shardsOf } from "./shards.ts"

export interface MergeOptions {
  readonly out: string
  /** Undefined: each tensor keeps its own. */
  readonly dtype: FileDType | undefined
  /** Most bytes of tensors in one file. */
  readonly maxShardBytes: number
}

export interface Merged {
  readonly files: number
  /** Bytes of all tensors. */
  readonly bytes: number
}

/** Values at or beyond it would be written as infinity. */
export const limits: Readonly<Record<FileDType, number>> = { F32: Infinity, F16: 65_520, BF16: (2 - 2 ** -8) * 2 ** 127 }
const names: Readonly<Record<FileDType, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" }

/** Fails with `FileProblem` or `CheckpointInvalid`, and then leaves nothing behind. */
export const writeMerged = Effect.fn("writeMerged")(function*(
  base: DecoderCheckpoint,
  adapter: FactorFiles,
  { dtype, maxShardBytes, out }: MergeOptions
) {
  const layout = [...base.index].map(([name, entry]) => ({
    name,
    shape: entry.shape,
    dtype: dtype !== undefined && isFloat(entry.dtype) ? dtype : entry.dtype
  }))
  const shards = shardsOf(layout, maxShardBytes)
  const bytes = layout.reduce((n, tensor) => n + byteLength(tensor), 0)
  yield* writeFolder(out, Effect.fnUntraced(function*(part) {
    yield* needSpace(part, out, bytes)
    for (const shard of shards) yield* writeShard(part, shard, base, adapter)
    if (shards.length > 1) yield* writeFile(path.join(part, "model.safetensors.index.json"), shardIndex(shards))
    yield* writeFile(path.join(part, "config.json"), yield* configText(base, dtype))
    for (const file of companionFiles) {
      const from = path.join(base.folder, file)
      if (fs.existsSync(from)) yield* writeFile(path.join(part, file), yield* readBytes(from))
    }
  }))
  return { files: shards.length, bytes } satisfies Merged
})

/** The base's config.json with the new dtype, under transformers 4's key, 5's, or both. */
const configText = Effect.fnUntraced(function*(base: DecoderCheckpoint, dtype: FileDType | undefined) {
  const text = yield* readText(path.join(base.folder, "config.json"))
  if (dtype === undefined) return text
  const json = JSON.parse(text) as Record<string, unknown>
  const keys = ["dtype", "torch_dtype"].filter((key) => key in json)
  for (const key of keys.length > 0 ? keys : ["torch_dtype"]) json[key] = names[dtype]
  return JSON.stringify(json, null, 2) + "\n"
})

const writeShard = Effect.fnUntraced(function*(part: string, { file, tensors }: Shard, base: DecoderCheckpoint, adapter: FactorFiles) {
  const attempt = <A>(what: string, run: () => A) =>
    Effect.try({
      try: run,
      catch: (cause) =>
        cause instanceof CheckpointInvalid
          ? cause
          : new FileProblem({ message: `${what} of the merged checkpoint cannot be written: ${explain(cause)}.` })
    })
  yield* Effect.acquireUseRelease(
    attempt(file, () => fs.openSync(path.join(part, file), "w")),
    Effect.fnUntraced(function*(fd) {
      yield* attempt(file, () => fs.writeFileSync(fd, encodeHeader(tensors)))
      for (const { dtype, name } of tensors) {
        yield* Effect.yieldNow // Ctrl-C takes effect between tensors
        yield* attempt(name, () => {
          for (const block of mergedBlocks(base, adapter, name, dtype)) fs.writeFileSync(fd, block)
        })
      }
      yield* attempt(file, () => fs.fsyncSync(fd))
    }),
    (fd) => Effect.sync(() => fs.closeSync(fd))
  )
})

/** The bytes of a tensor of the result, some rows at a time. Blocks the thread; throws what the file system throws. */
function* mergedBlocks(base: DecoderCheckpoint, adapter: FactorFiles, name: string, dtype: string): Generator<Uint8Array> {
  const own = base.index.get(name)!.dtype
  for (const { adapted, bytes, values } of mergedRows(base, adapter, name)) {
    if (!adapted && dtype === own) {
      yield bytes
      continue
    }
    const to = dtype as FileDType
    const merged = values()
    needWithin(merged, limits[to], name, names[to], "--dtype")
    yield encodeValues(merged, to)
  }
}
