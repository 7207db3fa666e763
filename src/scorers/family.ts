/**
 * Opens a family's folder. Each family is one file here: it reads its config and its texts as in training, and says
 * what a score is made of. Everything else (graphs.ts, batches, caches, verdicts) exists once.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Tokenizer } from "@huggingface/tokenizers"
import { Effect, Schema } from "effect"
import { CheckpointInvalid, needFloat, readJson, readTensor, type WeightFiles } from "../model/model-folder.ts"
import { activations, type TowerConfig } from "../engine/nets/encoder.ts"
import { parametersOf } from "../engine/weights/parameters.ts"
import { within } from "../system/time-limit.ts"
import { limitedIn, openSeconds, secondsFor } from "../model/tokenizer/limits.ts"
import { graphsOf, inputsOf, type ScorerCheckpoint, type Tokens } from "./graphs.ts"

/** An opened family that embeds pictures and texts separately, as CLIP does. */
export interface TextScorer<C extends ScorerCheckpoint> {
  /** For the worker. */
  readonly checkpoint: C
  readonly tokenize: (text: string) => Tokens
  /** The model's own logit, from two embeddings of length 1. */
  readonly score: (text: Float32Array, picture: Float32Array) => number
}

/** An opened family that reads a text and a picture together. */
export interface PairScorer<C extends ScorerCheckpoint> {
  /** For the worker. */
  readonly checkpoint: C
  readonly tokenize: (text: string) => Tokens
}

/** Fails with `CheckpointInvalid` if the weights lack a tensor that the graphs need, or have it in another shape. */
export const checkWeights = Effect.fnUntraced(function*(given: string, checkpoint: ScorerCheckpoint) {
  const asked = yield* Effect.try({
    try: () =>
      parametersOf((g, get) => {
        const { pairs, pictures, texts } = graphsOf(checkpoint)
        for (const build of [pictures, texts, pairs]) build?.(g, get, inputsOf(g, checkpoint))
      }),
    catch: (cause) =>
      new CheckpointInvalid({ message: `${given}: the sizes in config.json do not make a model: ${(cause as Error).message}.` })
  })
  for (const [name, shape] of asked) {
    const found = checkpoint.index.get(name)
    if (found?.shape.join() !== shape.join()) {
      return yield* new CheckpointInvalid({
        message: `${given}: ${name} is ${found ? `[${found.shape}]` : "missing"} in the weights, but config.json asks for [${shape}].`
      })
    }
    yield* needFloat(given, name, found.dtype)
  }
})

/** Fails with `CheckpointInvalid` if config.json is of another family. */
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

/**
 * tokenizer.json and tokenizer_config.json of a folder. `encode` throws `CheckpointInvalid` for a text that takes it
 * too long.
 */
export const readTokenizer = Effect.fnUntraced(function*(folder: string) {
  const json = yield* readJson(folder, "tokenizer.json", AnyJson)
  const config = fs.existsSync(path.join(folder, "tokenizer_config.json"))
    ? yield* readJson(folder, "tokenizer_config.json", AnyJson)
    : {}
  const tokenizer = yield* Effect.try({
    try: () => within(openSeconds, () => new Tokenizer(json, config)),
    catch: (cause) =>
      new CheckpointInvalid({
        message: `${path.join(folder, "tokenizer.json")} holds no tokenizer that is known here: ${(cause as Error).message}.`
      })
  })
  const limited = limitedIn(folder)
  return {
    encode: (text: string, options: { readonly add_special_tokens?: boolean } = {}) =>
      limited("the tokenizer", () => tokenizer.encode(text, options), secondsFor(text.length)),
    token_to_id: (token: string) => tokenizer.token_to_id(token),
    get_vocab: (added: boolean) => tokenizer.get_vocab(added)
  }
})

/** Settings with a default: transformers leaves out what equals its own. */
export const int = (value: number) => Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
export const real = (value: number) => Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
export const activation = (value: (typeof activations)[number]) =>
  Schema.Literals(activations).pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/** The ids, cut to `length`, with the end-of-text token last; it is not added if it is there already. */
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
