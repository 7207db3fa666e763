/**
 * What a family of scorers is. Each is one file here: it opens a checkpoint folder, builds its graphs, and says what a
 * score is made of. Everything else (batches, caches, the worker, verdicts) stands once, in layers/.
 *
 * A new family: its file, and a line in families.ts.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Tokenizer } from "@huggingface/tokenizers"
import { Effect, Schema } from "effect"
import { CheckpointInvalid, readJson, readTensor, type WeightFiles } from "../checkpoint.ts"
import { activations, type TowerConfig } from "../numerics/encoder.ts"
import type { Graph, Value } from "../numerics/graph.ts"
import { type Get, parametersOf } from "../numerics/parameters.ts"
import type { Preprocessing } from "../numerics/pixels.ts"

/** A text as a family's graph reads it. */
export interface Tokens {
  /** Padded to the family's length. */
  readonly ids: ReadonlyArray<number>
  /** How many of them come before the padding, >= 1. */
  readonly length: number
}

/** What a graph may be fed; only what it asks for is declared. `item` is whatever is scored: a picture, a text, a pair. */
export interface Inputs {
  /** [item, 3, side, side] float32, normalised (channel, row, column). */
  readonly pixels: () => Value
  /** [item, textLength] int64. */
  readonly ids: () => Value
  /** [item] int64: row * textLength + place of the last token. */
  readonly ends: () => Value
  /** [item, textLength] float32: 1 for a token, 0 for padding. */
  readonly mask: () => Value
}

/** Builds a graph's one output: [item, width]. */
export type Build = (g: Graph, get: Get, inputs: Inputs) => Value

/** Graphs of a family. Embeddings of pictures and of texts, or, where they are read together, one score a pair. */
export interface Graphs {
  readonly pictures?: Build
  readonly texts?: Build
  readonly pairs?: Build
}

/** What every checkpoint is to the worker, plain data. */
export interface ScorerFiles extends WeightFiles {
  readonly preprocessing: Preprocessing
  /** Ids that a text is padded to; 0 where the family reads none. */
  readonly textLength: number
}

/** An opened family that embeds pictures and texts apart, as CLIP does. */
export interface TextScorer<C extends ScorerFiles> {
  /** For the worker. */
  readonly checkpoint: C
  readonly tokenize: (text: string) => Tokens
  /** The model's own logit, from two embeddings of length 1. */
  readonly score: (text: Float32Array, picture: Float32Array) => number
}

/** Inputs of a graph, each declared when it is first asked for. */
export const inputsOf = (g: Graph, { preprocessing: { side }, textLength }: Omit<ScorerFiles, keyof WeightFiles>): Inputs => ({
  pixels: () => g.input("pixels", "float32", ["item", 3, side, side]),
  ids: () => g.input("ids", "int64", ["item", textLength]),
  ends: () => g.input("ends", "int64", ["item"]),
  mask: () => g.input("mask", "float32", ["item", textLength])
})

/** Fails with `CheckpointInvalid` where the weights lack what the graphs ask for, or have it in another shape. */
export const checkWeights = Effect.fnUntraced(function*(given: string, files: ScorerFiles, graphs: Graphs) {
  const asked = yield* Effect.try({
    try: () =>
      parametersOf((g, get) => {
        for (const build of [graphs.pictures, graphs.texts, graphs.pairs]) build?.(g, get, inputsOf(g, files))
      }),
    catch: (cause) =>
      new CheckpointInvalid({ message: `${given}: the sizes in config.json do not make a model: ${(cause as Error).message}.` })
  })
  for (const [name, shape] of asked) {
    const found = files.index.get(name)?.shape
    if (found?.join() !== shape.join()) {
      return yield* new CheckpointInvalid({
        message: `${given}: ${name} is ${found ? `[${found}]` : "missing"} in the weights, but config.json asks for [${shape}].`
      })
    }
  }
})

/** Fails with `CheckpointInvalid` where config.json is of another family. */
export const checkFamily = Effect.fnUntraced(function*(folder: string, family: string, example: string) {
  const { model_type } = yield* readJson(folder, "config.json", Schema.Struct({ model_type: Schema.String }))
  if (model_type !== family) {
    return yield* new CheckpointInvalid({
      message: `${path.join(folder, "config.json")} is of the family "${model_type}", not "${family}": give a folder such as ${example}.`
    })
  }
})

/** A tensor of one number. */
export const readScalar = Effect.fnUntraced(function*(given: string, files: WeightFiles, name: string) {
  const entry = files.index.get(name)
  if (entry === undefined || entry.shape.join() !== "" && entry.shape.join() !== "1") {
    return yield* new CheckpointInvalid({ message: `${given}: ${name} is not one number in the weights: fetch the folder again.` })
  }
  return yield* Effect.try({
    try: () => readTensor(files, name).data[0]!,
    catch: (cause) => new CheckpointInvalid({ message: `${given}: ${name} cannot be read: ${(cause as Error).message}.` })
  })
})

const AnyJson = Schema.Record(Schema.String, Schema.Unknown)

/** tokenizer.json and tokenizer_config.json of a folder. */
export const readTokenizer = Effect.fnUntraced(function*(folder: string) {
  const json = yield* readJson(folder, "tokenizer.json", AnyJson)
  const config = fs.existsSync(path.join(folder, "tokenizer_config.json"))
    ? yield* readJson(folder, "tokenizer_config.json", AnyJson)
    : {}
  return yield* Effect.try({
    try: () => new Tokenizer(json, config),
    catch: (cause) =>
      new CheckpointInvalid({
        message: `${path.join(folder, "tokenizer.json")} holds no tokenizer that is known here: ${(cause as Error).message}.`
      })
  })
})

/** Settings with a default: transformers leaves out what equals its own. */
export const int = (value: number) => Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
export const real = (value: number) => Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
export const activation = (value: (typeof activations)[number]) =>
  Schema.Literals(activations).pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/** The ids, cut to `length` with the end-of-text token as the last; one that is there already is not added twice. */
export const endWith = (ids: ReadonlyArray<number>, eos: number, length: number): Array<number> => [
  ...(ids.at(-1) === eos ? ids.slice(0, -1) : ids).slice(0, length - 1),
  eos
]

/** Settings of a text or vision tower, as CLIP and SigLIP write them. */
export const towerJson = (defaults: TowerConfig & { readonly activation: (typeof activations)[number] }) => ({
  hidden_size: int(defaults.hidden),
  intermediate_size: int(defaults.intermediate),
  num_hidden_layers: int(defaults.layers),
  num_attention_heads: int(defaults.heads),
  layer_norm_eps: real(defaults.normEpsilon),
  hidden_act: activation(defaults.activation)
})

interface TowerJson {
  readonly hidden_size: number
  readonly intermediate_size: number
  readonly num_hidden_layers: number
  readonly num_attention_heads: number
  readonly layer_norm_eps: number
  readonly hidden_act: (typeof activations)[number]
}

export const tower = (json: TowerJson): TowerConfig => ({
  hidden: json.hidden_size,
  intermediate: json.intermediate_size,
  layers: json.num_hidden_layers,
  heads: json.num_attention_heads,
  normEpsilon: json.layer_norm_eps,
  activation: json.hidden_act
})

export const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0)
