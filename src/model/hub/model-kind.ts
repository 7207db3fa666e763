/** Which files of a repository make a model. */
import type { Effect } from "effect"
import { type CheckpointInvalid, companionFiles, readDecoderConfig } from "../model-folder.ts"

export interface ModelKind {
  /** Fails where config.json, all that the folder need hold by then, is of a model that cannot be used. */
  readonly check?: (folder: string) => Effect.Effect<unknown, CheckpointInvalid>
  /** It needs them beside its weights. */
  readonly required: ReadonlyArray<string>
  /** It takes them where they are. */
  readonly others: ReadonlyArray<string>
  /** The weights: the first of these that there is. */
  readonly weights: ReadonlyArray<string>
  /** Where a repository has not all of it: what else can be given. */
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
