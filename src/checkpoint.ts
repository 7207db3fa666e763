/**
 * Opens a Hugging Face checkpoint folder: config.json, *.safetensors (one file or shards with an index), tokenizer.json,
 * tokenizer_config.json. Only headers are read; the tensors stay in their files, which onnxruntime maps.
 *
 * `CheckpointInvalid` arises when a file is missing, unreadable, not what its name says, or disagrees with config.json.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import type { WeightIndex } from "./numerics/parameters.ts"
import { headerLength, parseHeader, SafetensorsError, type TensorEntry, toFloat32 } from "./numerics/safetensors.ts"
import type { Tensor } from "./numerics/tensor.ts"
import { type DecoderConfig, parameterShapes } from "./numerics/transformer.ts"

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

const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))
const RopeParameters = Schema.Struct({
  rope_theta: Schema.optionalKey(Schema.Finite),
  rope_type: Schema.optionalKey(Schema.String),
  factor: Schema.optionalKey(Schema.Finite),
  low_freq_factor: Schema.optionalKey(Schema.Finite),
  high_freq_factor: Schema.optionalKey(Schema.Finite),
  original_max_position_embeddings: Schema.optionalKey(PositiveInt)
})

/** config.json of the two families, as transformers 4 (`rope_theta`) and 5 (`rope_parameters`) write it. */
const DecoderJson = Schema.Struct({
  model_type: Schema.Literals(["qwen3", "llama"]),
  vocab_size: PositiveInt,
  hidden_size: PositiveInt,
  intermediate_size: PositiveInt,
  num_hidden_layers: PositiveInt,
  num_attention_heads: PositiveInt,
  num_key_value_heads: Schema.optionalKey(PositiveInt),
  head_dim: Schema.optionalKey(Schema.NullOr(PositiveInt)),
  rms_norm_eps: Schema.Finite,
  rope_theta: Schema.optionalKey(Schema.Finite),
  rope_parameters: Schema.optionalKey(Schema.NullOr(RopeParameters)),
  rope_scaling: Schema.optionalKey(Schema.NullOr(RopeParameters)),
  tie_word_embeddings: Schema.optionalKey(Schema.Boolean),
  max_position_embeddings: PositiveInt,
  attention_bias: Schema.optionalKey(Schema.Boolean),
  mlp_bias: Schema.optionalKey(Schema.Boolean),
  hidden_act: Schema.optionalKey(Schema.Literal("silu"))
})

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
    Effect.mapError((error) => invalid(`${at} is not what was expected: ${oneLine(error.message)}.`))
  )
})

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim().replace(/\.$/, "")

/** Headers of all weight files of a folder, or of the one file named. */
export const openWeights = Effect.fn("openWeights")(function*(given: string, only?: string) {
  const folder = yield* Effect.try({
    try: () => fs.realpathSync(given),
    catch: () => invalid(`There is no model folder ${given}: check the path given as --model.`)
  })
  const files = only === undefined ? yield* weightFiles(folder) : [only]
  const index = new Map<string, TensorEntry & { readonly file: string }>()
  for (const file of files) {
    const entries = yield* Effect.try({
      try: () => readEntries(path.join(folder, file)),
      catch: (cause) =>
        invalid(
          `${path.join(folder, file)} cannot be read: ${
            cause instanceof SafetensorsError ? cause.message : (cause as Error).message
          }. Fetch it again.`
        )
    })
    for (const [name, entry] of entries) index.set(name, { ...entry, file })
  }
  return { folder, index } satisfies WeightFiles
})

const ShardIndex = Schema.Struct({ weight_map: Schema.Record(Schema.String, Schema.String) })

/** Names of the folder's weight files: the one, or those of the index. */
export const weightFiles = Effect.fnUntraced(function*(folder: string) {
  if (fs.existsSync(path.join(folder, "model.safetensors"))) return ["model.safetensors"]
  const index = "model.safetensors.index.json"
  if (!fs.existsSync(path.join(folder, index))) {
    return yield* invalid(`${folder} has no model.safetensors: only safetensors checkpoints are read.`)
  }
  const { weight_map } = yield* readJson(folder, index, ShardIndex)
  return [...new Set(Object.values(weight_map))].sort()
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

/** config.json of a policy's folder, decoded; fails where the model is of no known family or asks for what is not built. */
export const readDecoderConfig = Effect.fn("readDecoderConfig")(function*(given: string) {
  const kind = yield* readJson(given, "config.json", Schema.Struct({ model_type: Schema.String }))
  if (kind.model_type !== "qwen3" && kind.model_type !== "llama") {
    return yield* invalid(
      `${path.join(given, "config.json")} is of the family "${kind.model_type}": known are qwen3 and llama.`
    )
  }
  const json = yield* readJson(given, "config.json", DecoderJson)
  if (json.attention_bias || json.mlp_bias) {
    return yield* invalid(`${path.join(given, "config.json")} asks for biases, which the ${json.model_type} family here has not.`)
  }
  const heads = json.num_attention_heads
  const rope = json.rope_scaling ?? json.rope_parameters ?? {}
  if (rope.rope_type !== undefined && rope.rope_type !== "default" && rope.rope_type !== "llama3") {
    return yield* invalid(`${path.join(given, "config.json")} asks for "${rope.rope_type}" rotary scaling: known are default and llama3.`)
  }
  const config: DecoderConfig = {
    family: json.model_type,
    vocab: json.vocab_size,
    hidden: json.hidden_size,
    intermediate: json.intermediate_size,
    layers: json.num_hidden_layers,
    heads,
    kvHeads: json.num_key_value_heads ?? heads,
    headDim: json.head_dim ?? Math.floor(json.hidden_size / heads),
    normEpsilon: json.rms_norm_eps,
    ropeTheta: json.rope_theta ?? json.rope_parameters?.rope_theta ?? 10_000,
    ropeScaling: rope.rope_type === "llama3"
      ? {
        factor: rope.factor ?? 1,
        lowFreqFactor: rope.low_freq_factor ?? 1,
        highFreqFactor: rope.high_freq_factor ?? 4,
        originalMaxPositions: rope.original_max_position_embeddings ?? json.max_position_embeddings
      }
      : undefined,
    tied: json.tie_word_embeddings ?? false,
    maxPositions: json.max_position_embeddings
  }
  return config
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
  }
  return { ...files, config } satisfies DecoderCheckpoint
})

/** What a policy's folder holds besides its weights and config.json; a folder has some of them. */
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

/** One tensor, read and widened to float32. Blocks; throws what the file system throws. */
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

/** SHA-256 over the weight files, hex: which weights a judgment or a checkpoint belongs to. */
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
