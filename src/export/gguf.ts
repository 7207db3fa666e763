/**
 * Writes a decoder, with an adapter folded in or without, as one GGUF file for llama.cpp and what is built on it.
 * Tensors are read, merged, rounded and written some rows at a time, so a model of any size takes some megabytes.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { encodeValues } from "../engine/weights/safetensors.ts"
import type { FactorFiles } from "../model/lora-factors.ts"
import { limits } from "../model/merge.ts"
import { mergedRows, needWithin } from "../model/merged-rows.ts"
import { CheckpointInvalid, type DecoderCheckpoint } from "../model/model-folder.ts"
import { needSpace } from "../system/files.ts"
import { fillNewFile } from "../system/outputs.ts"
import { attempt, type ExportProgress, forEachBlock } from "./blocks.ts"
import { encodeQ8_0, type GgmlType, ggmlTypes } from "./ggml-types.ts"
import { aligned, encodeGgufHeader, string, tensorBytes, uint } from "./gguf-file.ts"
import { architectures, type Converted, convertedTensors, ggufHyperparameters, ggufRefusal } from "./gguf-model.ts"
import { ggufTokenizer } from "./gguf-tokenizer.ts"

export const ggufPrecisions = ["q8_0", "f16", "f32"] as const
export type GgufPrecision = (typeof ggufPrecisions)[number]

const matrixTypes = { q8_0: "Q8_0", f16: "F16", f32: "F32" } as const
/** llama.cpp's `llama_ftype`. */
const fileTypes: Readonly<Record<GgufPrecision, number>> = { f32: 0, f16: 1, q8_0: 7 }

export interface GgufOptions {
  /** A file that does not exist. */
  readonly out: string
  /** Of the matrices; vectors (norms, biases) are float32. */
  readonly precision: GgufPrecision
  /** The model's name for people. */
  readonly name: string
  readonly progress: ExportProgress
}

/** As llama.cpp's converter does: vectors in float32, and a matrix whose rows are no whole blocks in float16. */
const typeOf = (shape: ReadonlyArray<number>, precision: GgufPrecision): GgmlType => {
  const type = shape.length === 1 ? "F32" : matrixTypes[precision]
  return shape.at(-1)! % ggmlTypes[type].weights === 0 ? type : "F16"
}

/**
 * Fails with `CheckpointInvalid` if llama.cpp cannot compute the model or read its tokenizer, or a value does not fit the
 * precision, and with `FileProblem` if the file exists or cannot be written; then nothing is left under that name.
 *
 * @returns bytes of the file, and llama.cpp's name of the way the tokenizer splits text, and what is known to be cut otherwise
 */
export const writeGguf = Effect.fn("writeGguf")(function*(
  base: DecoderCheckpoint,
  adapter: FactorFiles | undefined,
  { name, out, precision, progress }: GgufOptions
) {
  const { config: c, folder } = base
  const refused = ggufRefusal(c)
  if (refused !== undefined) return yield* new CheckpointInvalid({ message: `${folder} ${refused}.` })
  const tokenizer = yield* ggufTokenizer(folder, c.vocab)
  const tensors = convertedTensors(c).map((tensor) => ({ ...tensor, type: typeOf(tensor.shape, precision) }))
  const header = encodeGgufHeader([
    string("general.architecture", architectures[c.family]),
    string("general.type", "model"),
    string("general.name", name),
    uint("general.file_type", fileTypes[precision]),
    uint("general.quantization_version", 2),
    ...ggufHyperparameters(c),
    ...tokenizer.pairs
  ], tensors)
  const bytes = tensors.reduce((n, tensor) => n + aligned(tensorBytes(tensor)), header.length)
  yield* fillNewFile(out, "--out", Effect.fnUntraced(function*(fd, part) {
    yield* needSpace(path.dirname(part), out, bytes)
    const tell = yield* progress(bytes)
    let done = header.length
    const write = (block: Uint8Array) => fs.writeFileSync(fd, block)
    yield* attempt(out, "The header", () => write(header))
    for (const tensor of tensors) {
      yield* forEachBlock(out, tensor.name, convertedBlocks(base, adapter, tensor), write, (n) => (done += n) < bytes ? tell(done) : Effect.void)
      const rest = new Uint8Array(aligned(tensorBytes(tensor)) - tensorBytes(tensor))
      yield* attempt(out, tensor.name, () => write(rest))
      done += rest.length
    }
    yield* tell(bytes)
  }))
  return { bytes, pre: tokenizer.pre, differing: tokenizer.differing }
})

/** The tensor's bytes, some rows at a time. Throws as `mergedRows` does. */
function* convertedBlocks(
  base: DecoderCheckpoint,
  adapter: FactorFiles | undefined,
  { change, from, name, together, type }: Converted & { readonly type: GgmlType }
): Generator<Uint8Array> {
  const encode = (values: Float32Array): Uint8Array => {
    needWithin(values, type === "F16" ? limits.F16 : Infinity, name, type === "F16" ? "float16" : "number", "--precision")
    return type === "Q8_0" ? encodeQ8_0(values) : encodeValues(values, type === "F16" ? "F16" : "F32")
  }
  if (typeof from !== "string") return yield encode(from)
  for (const rows of mergedRows(base, adapter, from, together)) {
    const values = rows.values()
    change(values)
    yield encode(values)
  }
}
