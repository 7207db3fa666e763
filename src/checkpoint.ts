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
import { explain } from "./files.ts"
import type { WeightIndex } from "./numerics/parameters.ts"
import { headerLength, isFloat, parseHeader, SafetensorsError, type TensorEntry, toFloat32 } from "./numerics/safetensors.ts"
import type { Tensor } from "./numerics/tensor.ts"
import { type DecoderConfig, families, parameterShapes, type SlidingLayers } from "./numerics/transformer.ts"

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
  type: Schema.optionalKey(Schema.String),
  factor: Schema.optionalKey(Schema.Finite),
  low_freq_factor: Schema.optionalKey(Schema.Finite),
  high_freq_factor: Schema.optionalKey(Schema.Finite),
  original_max_position_embeddings: Schema.optionalKey(PositiveInt)
})

/** config.json of these families, as transformers 4 (`rope_theta`) and 5 (`rope_parameters`) write it. */
const DecoderJson = Schema.Struct({
  model_type: Schema.Literals(families),
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
  use_sliding_window: Schema.optionalKey(Schema.Boolean),
  hidden_act: Schema.optionalKey(Schema.Literal("silu")),
  quantization_config: Schema.optionalKey(Schema.NullOr(Schema.Struct({ quant_method: Schema.optionalKey(Schema.String) })))
})

/** What a gemma3_text config.json says besides, or elsewhere. */
const GemmaJson = Schema.Struct({
  head_dim: PositiveInt,
  num_hidden_layers: PositiveInt,
  num_key_value_heads: PositiveInt,
  query_pre_attn_scalar: Schema.Finite.check(Schema.isGreaterThan(0)),
  hidden_activation: Schema.optionalKey(Schema.Literal("gelu_pytorch_tanh")),
  sliding_window: PositiveInt,
  layer_types: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Literals(["sliding_attention", "full_attention"])))),
  sliding_window_pattern: Schema.optionalKey(PositiveInt),
  rope_theta: Schema.optionalKey(Schema.Finite),
  rope_local_base_freq: Schema.optionalKey(Schema.Finite),
  rope_scaling: Schema.optionalKey(Schema.NullOr(RopeParameters)),
  rope_parameters: Schema.optionalKey(Schema.NullOr(Schema.Struct({
    full_attention: Schema.optionalKey(RopeParameters),
    sliding_attention: Schema.optionalKey(RopeParameters)
  }))),
  tie_word_embeddings: Schema.optionalKey(Schema.Boolean),
  final_logit_softcapping: Schema.optionalKey(Schema.NullOr(Schema.Finite)),
  attn_logit_softcapping: Schema.optionalKey(Schema.NullOr(Schema.Finite)),
  use_bidirectional_attention: Schema.optionalKey(Schema.NullOr(Schema.Boolean))
})

/** Where Gemma's config.json differs from the others', with transformers' defaults. */
const openGemma = Effect.fnUntraced(function*(given: string) {
  const json = yield* readJson(given, "config.json", GemmaJson)
  const asks = (what: string) =>
    invalid(`${path.join(given, "config.json")} asks for ${what}, which the gemma3_text family here has not.`)
  for (const name of ["final_logit_softcapping", "attn_logit_softcapping", "use_bidirectional_attention"] as const) {
    if (json[name]) return yield* asks(name)
  }
  const local = json.rope_parameters?.sliding_attention ?? {}
  if (scalingOf(local) !== "default") return yield* asks(`"${scalingOf(local)}" rotary scaling of sliding layers`)
  const pattern = json.sliding_window_pattern ?? 6
  const layers = json.layer_types?.map((type) => type === "sliding_attention") ??
    Array.from({ length: json.num_hidden_layers }, (_, i) => (i + 1) % pattern !== 0)
  if (layers.length !== json.num_hidden_layers) {
    return yield* asks(`${json.num_hidden_layers} layers with ${layers.length} layer_types`)
  }
  const full = json.rope_parameters?.full_attention ?? {}
  return {
    queryScalar: json.query_pre_attn_scalar,
    ropeTheta: json.rope_theta ?? full.rope_theta ?? 1_000_000,
    rope: json.rope_scaling ?? full,
    tied: json.tie_word_embeddings ?? true,
    sliding: {
      layers,
      window: json.sliding_window,
      ropeTheta: json.rope_local_base_freq ?? local.rope_theta ?? 10_000
    } satisfies SlidingLayers
  }
})

/** Which stretch of the rotary positions is asked for; `type` is what it was called before transformers 4.43. */
const scalingOf = (rope: typeof RopeParameters.Type): string => rope.rope_type ?? rope.type ?? "default"

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

const listed = (names: ReadonlyArray<string>): string => `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim().replace(/\.$/, "")

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

/** The folder's weight files; which tensor is in which, where an index says so. */
const weightFiles = Effect.fnUntraced(function*(folder: string) {
  if (fs.existsSync(path.join(folder, "model.safetensors"))) return { files: ["model.safetensors"], map: {} }
  if (!fs.existsSync(path.join(folder, indexFile))) {
    return yield* invalid(`${folder} has no model.safetensors: only safetensors checkpoints are read.`)
  }
  const { weight_map: map } = yield* readJson(folder, indexFile, ShardIndex)
  const files = [...new Set(Object.values(map))].sort()
  const elsewhere = files.find((file) => path.basename(file) !== file)
  if (elsewhere !== undefined) {
    return yield* invalid(`${path.join(folder, indexFile)} names ${elsewhere}, which is no file beside it.`)
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

/** A policy's folder: its config decoded, its tensors checked against it by name and shape. */
export const openDecoder = Effect.fn("openDecoder")(function*(given: string) {
  const kind = yield* readJson(given, "config.json", Schema.Struct({ model_type: Schema.String }))
  if (kind.model_type === "gemma3") {
    return yield* invalid(
      `${path.join(given, "config.json")} is of the family "gemma3", which sees pictures: give a text model of it (gemma3_text, such as google/gemma-3-1b-it).`
    )
  }
  if (!(families as ReadonlyArray<string>).includes(kind.model_type)) {
    return yield* invalid(
      `${path.join(given, "config.json")} is of the family "${kind.model_type}": known are ${listed(families)}.`
    )
  }
  const json = yield* readJson(given, "config.json", DecoderJson)
  if (json.attention_bias || json.mlp_bias) {
    return yield* invalid(`${path.join(given, "config.json")} asks for biases, which the ${json.model_type} family here has not.`)
  }
  if (json.use_sliding_window) {
    return yield* invalid(`${path.join(given, "config.json")} asks for use_sliding_window, which the ${json.model_type} family here has not.`)
  }
  if (json.quantization_config) {
    const { quant_method: method = "some way" } = json.quantization_config
    return yield* invalid(`${given} is quantized (${method}), which is not read: take the checkpoint that it was made of.`)
  }
  const heads = json.num_attention_heads
  const gemma = json.model_type === "gemma3_text" ? yield* openGemma(given) : undefined
  const rope = gemma?.rope ?? json.rope_scaling ?? json.rope_parameters ?? {}
  const scaling = scalingOf(rope)
  if (scaling !== "default" && scaling !== "llama3") {
    return yield* invalid(`${path.join(given, "config.json")} asks for "${scaling}" rotary scaling: known are default and llama3.`)
  }
  const kvHeads = json.num_key_value_heads ?? heads
  if (heads % kvHeads !== 0) {
    return yield* invalid(`${path.join(given, "config.json")} has ${heads} heads, which cannot share ${kvHeads} keys and values evenly.`)
  }
  const headDim = json.head_dim ?? Math.floor(json.hidden_size / heads)
  const config: DecoderConfig = {
    family: json.model_type,
    vocab: json.vocab_size,
    hidden: json.hidden_size,
    intermediate: json.intermediate_size,
    layers: json.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    queryScalar: gemma?.queryScalar ?? headDim,
    normEpsilon: json.rms_norm_eps,
    ropeTheta: gemma?.ropeTheta ?? json.rope_theta ?? json.rope_parameters?.rope_theta ?? 10_000,
    ropeScaling: scaling === "llama3"
      ? {
        factor: rope.factor ?? 1,
        lowFreqFactor: rope.low_freq_factor ?? 1,
        highFreqFactor: rope.high_freq_factor ?? 4,
        originalMaxPositions: rope.original_max_position_embeddings ?? json.max_position_embeddings
      }
      : undefined,
    sliding: gemma?.sliding,
    tied: gemma?.tied ?? json.tie_word_embeddings ?? false,
    maxPositions: json.max_position_embeddings
  }
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

/** Fails where a tensor is of a dtype that is not computed with. */
export const needFloat = (given: string, name: string, dtype: string): Effect.Effect<void, CheckpointInvalid> =>
  isFloat(dtype)
    ? Effect.void
    : Effect.fail(invalid(`${given}: ${name} is ${dtype}, but F32, F16 or BF16 is read: take weights that are not quantized.`))

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
