/** The policies that `vequinox eval` compares: the base, and adapters, runs or checkpoints by a name. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { type LoraConfig, noAdapter } from "../../engine/weights/parameters.ts"
import type { Parameters } from "../../engine/weights/tensor.ts"
import { openAdapter } from "../../model/adapter.ts"
import { openWeights, readParameters, weightsHash } from "../../model/model-folder.ts"
import { BadInput } from "../../system/errors.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { openPolicy } from "../policy.ts"

export interface Compared {
  readonly name: string
  readonly opened: Effect.Success<ReturnType<typeof openPolicy>>
  /** Undefined: every parameter was trained. */
  readonly lora: LoraConfig | undefined
  readonly parameters: Parameters
  /** SHA-256 of the base's weights and of the adapter's, if it has one. */
  readonly sha256: string
}

const splitName = Effect.fnUntraced(function*(given: string) {
  const at = given.indexOf("=")
  const [name, folder] = [given.slice(0, at), given.slice(at + 1)]
  if (at < 1 || folder === "" || !/^[\w.-]{1,40}$/.test(name)) {
    return yield* new BadInput({ message: `"${given}" names no policy: write NAME=FOLDER, with letters, digits, dots and hyphens in the name.` })
  }
  return { name, folder }
})

/** What a folder is, by the files in it: an adapter, a run with one or with all parameters, or a checkpoint. */
const kindOf = (folder: string): { readonly adapter: string } | { readonly whole: string } | { readonly checkpoint: string } | undefined => {
  const has = (...names: ReadonlyArray<string>) => fs.existsSync(path.join(folder, ...names))
  if (has("adapter_config.json")) return { adapter: folder }
  if (has("adapter", "adapter_config.json")) return { adapter: path.join(folder, "adapter") }
  if (has("adapter", "model.safetensors")) return { whole: path.join(folder, "adapter") }
  return has("config.json") && has("tokenizer.json") ? { checkpoint: folder } : undefined
}

/**
 * The base first, under the name `base`; then those that were named, in their order.
 *
 * @param named NAME=FOLDER each
 */
export const openCompared = Effect.fn("openCompared")(function*(model: string, revision: string, named: ReadonlyArray<string>, style: ProgressStyle) {
  const base = yield* openPolicy(model, revision, style)
  const baseHash = weightsHash(yield* openWeights(base.folder))
  const all: Array<Compared> = [{ name: "base", opened: base, lora: noAdapter, parameters: new Map(), sha256: baseHash }]
  for (const given of named) {
    const { folder, name } = yield* splitName(given)
    if (all.some((other) => other.name === name)) {
      return yield* new BadInput({ message: `Two policies are called ${name}${name === "base" ? ", which is the model's own name here" : ""}: give each its own.` })
    }
    const kind = kindOf(folder)
    if (kind === undefined) {
      return yield* new BadInput({ message: `${folder} of ${name} is no adapter (adapter_config.json), no run with one (adapter/), and no checkpoint (config.json and tokenizer.json).` })
    }
    if ("adapter" in kind) {
      const { lora, parameters } = yield* openAdapter(kind.adapter, base.checkpoint)
      const own = weightsHash(yield* openWeights(kind.adapter, "adapter_model.safetensors"))
      all.push({ name, opened: base, lora, parameters, sha256: `${baseHash} ${own} ${JSON.stringify(lora)}` })
    } else if ("whole" in kind) {
      const weights = yield* openWeights(kind.whole)
      all.push({ name, opened: base, lora: undefined, parameters: readParameters(weights), sha256: `${baseHash} ${weightsHash(weights)}` })
    } else {
      const opened = yield* openPolicy(kind.checkpoint, "", style)
      all.push({ name, opened, lora: noAdapter, parameters: new Map(), sha256: weightsHash(yield* openWeights(opened.folder)) })
    }
  }
  return all as ReadonlyArray<Compared>
})
