/**
 * Opens a Hugging Face checkpoint folder: config.json, *.safetensors (one file or shards with an index),
 * tokenizer.json, tokenizer_config.json. Only headers are read; the tensors stay in their files, which onnxruntime
 * maps.
 *
 * `CheckpointInvalid` arises if a file is missing, unreadable, not what its name says, or disagrees with config.json.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { decoderConfig } from "./decoder-config.ts"
import { explain } from "../system/files.ts"
import type { WeightIndex } from "../engine/weights/parameters.ts"
import { headerLength, isFloat, parseHeader, SafetensorsError, type TensorEntry, toFloat32 } from "../engine/weights/safetensors.ts"
import type { Tensor } from "../engine/weights/tensor.ts"
import { type DecoderConfig, parameterShapes } from "../engine/nets/transformer.ts"

/** The folder does not hold a usable model; the message says which file, what is wrong and what to do. */
export class CheckpointInvalid extends Schema.TaggedError<CheckpointInvalid>()("CheckpointInvalid", {
  message: Schema.String
}) {}

const invalid = (message: string) => new CheckpointInvalid({ message })

/** Files and sizes of a folder's tensors; plain data, so it can be sent to a worker. */
export interface WeightFiles {
  /** Absolute. Its files may be symbolic links that lead out of it, as in the Hub's cache. */
  readonly folder: string
  readonly index: WeightIndex
}

export interface DecoderCheckpoint extends WeightFiles {
  readonly config: DecoderConfig
}

/** A JSON file of the folder, decoded. */
export const readJson = Effect.fnUntraced(function*<A>(
  folder: string,
  file: string,
  schema: Schema.Codec<A, unknown>
) {
  const at = path.join(folder, file)
  const text = yield* Effect.try({
    try: () => fs.readFileSync(at, "utf8"),
    catch: () =>
      invalid(
        fs.existsSync(folder)
          ? `${folder} has no readable ${file}: a model folder needs config.json, tokenizer.json and model.safetensors.`
          : `There is no model folder ${folder}: check the path given as --model.`
      )
  })
  return yield* Schema.decodeEffect(Schema.fromJsonString(Schema.Unknown))(text).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(schema)),
    Effect.mapError((error) => unexpected(at, error))
  )
})

const unexpected = (at: string, error: { readonly message: string }) =>
  invalid(`${at} is not what was expected: ${error.message.replace(/\s+/g, " ").trim().replace(/\.$/, "")}.`)

/** Headers of all weight files of a folder, or of the one file named. */
export const openWeights = Effect.fn("openWeights")(function*(given: string, only?: string) {
  const folder = yield* Effect.try({
    try: () => fs.realpathSync(given),
    catch: () => invalid(`There is no model folder ${given}: check the path given as --model.`)
  })
  const { files, map } = only === undefined ? yield* weightFiles(folder) : { files: [only], map: {} }
  const index = new Map<string, TensorEntry & { readonly file: string }>()
  for (const file of files) {
    const entries = yield* Effect.try({
      try: () => readEntries(path.join(folder, file)),
      catch: (cause) =>
        invalid(
          `${path.join(folder, file)} cannot be read: ${cause instanceof SafetensorsError ? cause.message : explain(cause)}. Fetch it again.`
        )
    })
    for (const [name, entry] of entries) {
      const twin = index.get(name)
      if (twin !== undefined) return yield* invalid(`${folder}: ${name} is in ${twin.file} and in ${file}: they are not of one checkpoint.`)
      index.set(name, { ...entry, file })
    }
  }
  const lost = Object.entries(map).find(([name, file]) => index.get(name)?.file !== file)
  if (lost !== undefined) {
    return yield* invalid(`${path.join(folder, lost[1])} has no tensor ${lost[0]}, which ${indexFile} says is there. Fetch both again.`)
  }
  return { folder, index } satisfies WeightFiles
})

const indexFile = "model.safetensors.index.json"
const ShardIndex = Schema.Struct({ weight_map: Schema.Record(Schema.String, Schema.String) })

/** The folder's weight files, and which tensor is in which, if there is an index. */
export const weightFiles = Effect.fnUntraced(function*(folder: string) {
  if (fs.existsSync(path.join(folder, "model.safetensors"))) return { files: ["model.safetensors"], map: {} }
  if (!fs.existsSync(path.join(folder, indexFile))) {
    return yield* invalid(`${folder} has no model.safetensors: only safetensors checkpoints are read.`)
  }
  const { weight_map: map } = yield* readJson(folder, indexFile, ShardIndex)
  const files = [...new Set(Object.values(map))].sort()
  const elsewhere = files.find((file) => path.basename(file) !== file)
  if (elsewhere !== undefined) {
    return yield* invalid(`${path.join(folder, indexFile)} names ${elsewhere}, which is not a file beside it.`)
  }
  return { files, map }
})

const readEntries = (file: string): ReadonlyMap<string, TensorEntry> => {
  const fd = fs.openSync(file, "r")
  try {
    const { size } = fs.fstatSync(fd)
    const first = new Uint8Array(8)
    const got = fs.readSync(fd, first, 0, 8, 0)
    const header = new Uint8Array(headerLength(first.subarray(0, got), size))
    fs.readSync(fd, header, 0, header.length, 8)
    return parseHeader(header, size)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * config.json of a policy's folder, decoded; fails if the model's family is unknown or it asks for something
 * unsupported.
 */
export const readDecoderConfig = Effect.fn("readDecoderConfig")(function*(given: string) {
  const json = yield* readJson(given, "config.json", Schema.Unknown)
  const at = path.join(given, "config.json")
  return yield* decoderConfig(json).pipe(Effect.mapError((error) =>
    error._tag === "ConfigRefused" ? invalid(`${at} ${error.message}.`) : unexpected(at, error)
  ))
})

/** A policy's folder: its config decoded, its tensors checked against it by name and shape. */
export const openDecoder = Effect.fn("openDecoder")(function*(given: string) {
  const config = yield* readDecoderConfig(given)
  const files = yield* openWeights(given)
  for (const [name, shape] of parameterShapes(config)) {
    const entry = files.index.get(name)
    if (entry === undefined) return yield* invalid(`${given}: the weights have no tensor ${name}, which config.json asks for.`)
    if (entry.shape.join() !== shape.join()) {
      return yield* invalid(
        `${given}: ${name} is [${entry.shape}] in the weights, but config.json asks for [${shape}]: they are not of one model.`
      )
    }
    yield* needFloat(given, name, entry.dtype)
  }
  const beyond = [...files.index.keys()].find((name) => Number(/^model\.layers\.(\d+)\./.exec(name)?.[1]) >= config.layers)
  if (beyond !== undefined) {
    return yield* invalid(`${given}: the weights have ${beyond}, but config.json has ${config.layers} layers: they are not of one model.`)
  }
  return { ...files, config } satisfies DecoderCheckpoint
})

/** Fails if a tensor has a dtype that is not computed with. */
export const needFloat = (given: string, name: string, dtype: string): Effect.Effect<void, CheckpointInvalid> =>
  isFloat(dtype)
    ? Effect.void
    : Effect.fail(invalid(`${given}: ${name} is ${dtype}, but F32, F16 or BF16 is read: take weights that are not quantized.`))

/** Other files of a policy's folder besides its weights and config.json; a folder has some of them. */
export const companionFiles = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "LICENSE"
]

/** One tensor, read and widened to float32. Blocks the thread; throws what the file system throws. */
export const readTensor = (files: WeightFiles, name: string): Tensor => {
  const entry = files.index.get(name)
  if (entry === undefined) throw new Error(`no tensor ${name} in ${files.folder}`)
  const bytes = new Uint8Array(entry.length)
  const fd = fs.openSync(path.join(files.folder, entry.file), "r")
  try {
    fs.readSync(fd, bytes, 0, entry.length, entry.offset)
  } finally {
    fs.closeSync(fd)
  }
  return { shape: entry.shape, data: toFloat32(bytes, entry.dtype) }
}

/** All tensors of a folder, float32. */
export const readParameters = (files: WeightFiles): Map<string, Tensor> =>
  new Map([...files.index.keys()].sort().map((name) => [name, readTensor(files, name)]))

/** SHA-256 over the weight files, hex: says which weights a judgment or a checkpoint used. */
export const weightsHash = (files: WeightFiles): string => {
  const hash = createHash("sha256")
  const piece = new Uint8Array(2 ** 20) // readFileSync refuses files over 2 GiB
  for (const file of [...new Set([...files.index.values()].map((entry) => entry.file))].sort()) {
    const fd = fs.openSync(path.join(files.folder, file), "r")
    try {
      for (let got = fs.readSync(fd, piece); got > 0; got = fs.readSync(fd, piece)) hash.update(piece.subarray(0, got))
    } finally {
      fs.closeSync(fd)
    }
  }
  return hash.digest("hex")
}
