/**
 * Writes a decoder, with an adapter folded in or without, as the folder that transformers.js loads: config.json, the
 * tokenizer's files, and `onnx/model.onnx` in float32 or `onnx/model_quantized.onnx` with matrices in 8 bits, in blocks
 * of 32 that share a scale (onnxruntime's MatMulNBits), or both. Larger weights are in files beside the model,
 * `model.onnx_data`, `model.onnx_data_1`, ...: config.json then says how many, under `transformers.js_config`.
 *
 * Weights are read, merged, rounded and written some rows at a time, so a model of any size takes some megabytes.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { Graph, type Initializer } from "../engine/graph/graph.ts"
import { encodeModel } from "../engine/graph/onnx.ts"
import { type DecoderConfig, modulesOf, parameterShapes, unembeddingName } from "../engine/nets/transformer.ts"
import { withCache } from "../engine/sampling/with-cache.ts"
import type { WeightIndex } from "../engine/weights/parameters.ts"
import { quantizedShapes, quantizeRows } from "../engine/weights/quantization.ts"
import { byteLength, encodeValues, type FileDType, type Layout, type TensorEntry } from "../engine/weights/safetensors.ts"
import type { FactorFiles } from "../model/lora-factors.ts"
import { limits } from "../model/merge.ts"
import { mergedRows, needWithin } from "../model/merged-rows.ts"
import { companionFiles, type DecoderCheckpoint } from "../model/model-folder.ts"
import { needSpace, readBytes, readText, writeFile, writeFolder } from "../system/files.ts"
import { attempt, type ExportProgress, forEachBlock } from "./blocks.ts"

export const onnxPrecisions = ["f32", "q8_0"] as const
export type OnnxPrecision = (typeof onnxPrecisions)[number]

/** Under the names by which transformers.js asks for `dtype: "fp32"` and `"q8"`. */
const fileNames: Readonly<Record<OnnxPrecision, string>> = { f32: "model.onnx", q8_0: "model_quantized.onnx" }

export interface OnnxOptions {
  /** A folder that is missing or empty. */
  readonly out: string
  readonly precisions: ReadonlyArray<OnnxPrecision>
  readonly progress: ExportProgress
}

/** More bytes of weights than this are not put into the model file itself: it is held in memory whole. */
const mostInline = 64e6
/** Most bytes of one file beside it: browsers hold each in one array of less than 2 GiB. */
const mostBeside = 1.9e9

/** A tensor of the result: where its bytes will be, and what they are made from. */
interface Stored extends Layout {
  readonly from: string
  /** Which part of the 8-bit form; undefined for the values themselves. */
  readonly part: "values" | "scales" | undefined
}

/** In the order of the files. */
const storedTensors = (c: DecoderConfig, precision: OnnxPrecision): ReadonlyArray<Stored> => {
  const multiplied = new Set([...modulesOf(c).map(({ module }) => `${module}.weight`), unembeddingName(c)])
  return [...parameterShapes(c)].flatMap(([name, shape]): ReadonlyArray<Stored> => {
    const whole = (dtype: FileDType): Stored => ({ name, from: name, dtype, shape, part: undefined })
    if (precision === "f32") return [whole("F32")]
    const table = name === "model.embed_tokens.weight"
    const own = table ? [whole("F16")] : [] // rows are looked up, not multiplied
    if (!multiplied.has(name)) return table ? own : [whole("F32")]
    const { scales, values } = quantizedShapes("int8", shape[0]!, shape[1]!)
    return [
      ...own,
      { name: `${name}.values`, from: name, dtype: "U8", shape: values, part: "values" },
      { name: `${name}.scales`, from: name, dtype: "F32", shape: scales, part: "scales" }
    ]
  })
}

/** The bytes of a stored tensor, some rows at a time. Throws as `mergedRows` does. */
function* storedBlocks(base: DecoderCheckpoint, adapter: FactorFiles | undefined, { dtype, from, part }: Stored): Generator<Uint8Array> {
  const width = base.index.get(from)!.shape.at(-1)!
  for (const rows of mergedRows(base, adapter, from)) {
    const values = rows.values()
    const half = dtype === "F16"
    needWithin(values, half ? limits.F16 : Infinity, from, half ? "float16" : "number", "--precision")
    if (part === undefined) yield encodeValues(values, dtype as FileDType)
    else {
      const made = quantizeRows("int8", values, values.length / width, width)
      yield part === "values" ? made.values : encodeValues(made.scales, "F32")
    }
  }
}

/** Where each tensor is, in files of at most `mostBeside` bytes: `name_data`, `name_data_1`, ... */
const placed = (tensors: ReadonlyArray<Stored>, name: string): ReadonlyMap<string, TensorEntry & { readonly file: string }> => {
  const index = new Map<string, TensorEntry & { readonly file: string }>()
  let chunk = 0
  let offset = 0
  for (const { dtype, name: tensor, shape } of tensors) {
    const length = byteLength({ dtype, shape })
    if (offset > 0 && offset + length > mostBeside) {
      chunk++
      offset = 0
    }
    index.set(tensor, { dtype, shape, offset, length, file: `${name}_data${chunk === 0 ? "" : `_${chunk}`}` })
    offset += length
  }
  return index
}

/** The model whose weights lie where `index` says. */
const graphOf = (c: DecoderConfig, index: WeightIndex, precision: OnnxPrecision): Graph => {
  const g = new Graph()
  withCache(g, c, {
    index,
    trainable: "none",
    lora: undefined,
    quantized: precision === "q8_0" ? { precision: "int8", index } : undefined
  })
  return g
}

/**
 * Fails with `CheckpointInvalid` if a value does not fit its precision, and with `FileProblem` if the folder holds
 * anything or cannot be written; then nothing is left behind.
 *
 * @returns the model's files with their bytes, weights beside them included
 */
export const writeOnnx = Effect.fn("writeOnnx")(function*(
  base: DecoderCheckpoint,
  adapter: FactorFiles | undefined,
  { out, precisions, progress }: OnnxOptions
) {
  const { config: c, folder } = base
  const plans = precisions.map((precision) => {
    const tensors = storedTensors(c, precision)
    const index = placed(tensors, fileNames[precision])
    const bytes = tensors.reduce((n, tensor) => n + byteLength(tensor), 0)
    const beside = bytes > mostInline ? new Set([...index.values()].map(({ file }) => file)).size : 0
    return { precision, tensors, index, bytes, beside, file: fileNames[precision] }
  })
  const total = plans.reduce((n, { bytes }) => n + bytes, 0)
  yield* writeFolder(out, Effect.fnUntraced(function*(part) {
    yield* needSpace(part, out, total)
    const tell = yield* progress(total)
    let done = 0
    const to = path.join(part, "onnx")
    yield* attempt(out, "The folder onnx", () => fs.mkdirSync(to))
    for (const { beside, file, index, precision, tensors } of plans) {
      const inline = new Map<string, Uint8Array>()
      const files = new Map<string, number>()
      const fileOf = (name: string): number => {
        const fd = files.get(name) ?? fs.openSync(path.join(to, name), "wx")
        files.set(name, fd)
        return fd
      }
      const write = Effect.fnUntraced(function*(tensor: Stored) {
        const held: Array<Uint8Array> = []
        const put = (bytes: Uint8Array) => void (beside === 0 ? held.push(bytes) : fs.writeFileSync(fileOf(index.get(tensor.name)!.file), bytes))
        yield* forEachBlock(out, tensor.name, storedBlocks(base, adapter, tensor), put, (n) => tell(done += n))
        if (beside === 0) inline.set(tensor.name, Buffer.concat(held))
      })
      yield* Effect.ensuring(
        Effect.andThen(
          Effect.forEach(tensors, write, { discard: true }),
          attempt(out, file, () => files.forEach((fd) => fs.fsyncSync(fd)))
        ),
        Effect.sync(() => files.forEach((fd) => fs.closeSync(fd)))
      )
      const g = graphOf(c, index, precision)
      if (beside === 0) putInside(g, index, inline)
      yield* writeFile(path.join(to, file), encodeModel(g))
    }
    yield* writeFile(path.join(part, "config.json"), yield* configText(folder, plans))
    for (const file of companionFiles) {
      const from = path.join(folder, file)
      if (fs.existsSync(from)) yield* writeFile(path.join(part, file), yield* readBytes(from))
    }
  }))
  return plans.map(({ bytes, file }) => ({ file: `onnx/${file}`, bytes }))
})

/** Puts the bytes of weights that lie in files into the model. */
const putInside = (g: Graph, index: WeightIndex, bytes: ReadonlyMap<string, Uint8Array>): void => {
  const names = new Map([...index].map(([name, { file, offset }]) => [`${file}:${offset}`, name]))
  g.initializers.forEach(({ bytes: at, value }, i) => {
    if (at._tag === "Inline") return
    const data = bytes.get(names.get(`${at.file}:${at.offset}`)!)!
    g.initializers[i] = { value, bytes: { _tag: "Inline", data } } satisfies Initializer
  })
}

interface Plan {
  readonly file: string
  readonly beside: number
}

/** config.json, and which models have files beside them. */
const configText = Effect.fnUntraced(function*(folder: string, plans: ReadonlyArray<Plan>) {
  const json = JSON.parse(yield* readText(path.join(folder, "config.json"))) as Readonly<Record<string, unknown>>
  const beside = Object.fromEntries(plans.filter(({ beside }) => beside > 0).map(({ beside, file }) => [file, beside]))
  const own = Object.keys(beside).length === 0 ? {} : { "transformers.js_config": { use_external_data_format: beside } }
  return JSON.stringify({ ...json, ...own }, null, 2) + "\n"
})
