/** Which files of a repository make a model. */
import type { Effect } from "effect"
import { type CheckpointInvalid, companionFiles, readDecoderConfig } from "../model-folder.ts"

export interface ModelKind {
  /** Fails if config.json is of a model that cannot be used; the folder need hold no other file at that point. */
  readonly check?: (folder: string) => Effect.Effect<unknown, CheckpointInvalid>
  /** Files it needs besides its weights. */
  readonly required: ReadonlyArray<string>
  /** Files it uses if they exist. */
  readonly others: ReadonlyArray<string>
  /** The weights: the first of these that exists. */
  readonly weights: ReadonlyArray<string>
  /** What to give instead of a repository that lacks a file. */
  readonly instead: string
}

export const shardIndex = "model.safetensors.index.json"
export const safetensors = ["model.safetensors", shardIndex]

export const policyKind: ModelKind = {
  check: readDecoderConfig,
  required: ["config.json", "tokenizer.json", "tokenizer_config.json"],
  others: companionFiles,
  weights: safetensors,
  instead: "choose a repository with safetensors and a fast tokenizer, or give a folder that has them"
}
