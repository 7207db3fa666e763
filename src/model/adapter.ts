/** An adapter as a PEFT folder: adapter_config.json, adapter_model.safetensors, README.md (the model card). */
import { Effect } from "effect"
import { CheckpointInvalid, type DecoderCheckpoint, readParameters } from "./model-folder.ts"
import { openFactors } from "./lora-factors.ts"
import type { LoraConfig } from "../engine/weights/parameters.ts"
import { encodeSafetensors } from "../engine/weights/safetensors.ts"
import type { Parameters } from "../engine/weights/tensor.ts"
import { modulesOf } from "../engine/nets/transformer.ts"

/** The model that an adapter was trained on. */
export interface Base {
  /** A Hub id or a path. */
  readonly name: string
  /** The commit on the Hub; null for a folder. */
  readonly revision: string | null
}

/** A model card. */
export interface Card {
  /** Besides lora, svg and vequinox: how it was trained. */
  readonly tags: ReadonlyArray<string>
  /** Below its front matter. */
  readonly text: string
}

/**
 * The files of the folder, by name.
 *
 * vLLM and llama.cpp's converter load them unchanged. But both know only one scale for all modules, and llama.cpp knows
 * no rsLoRA: for them, an adapter that began with patterns or with rsLoRA must be merged.
 */
export const adapterFiles = (
  parameters: Parameters,
  lora: LoraConfig,
  base: Base,
  card: Card = { tags: [], text: "" }
): ReadonlyArray<readonly [string, string | Uint8Array]> => [
  ["adapter_config.json", JSON.stringify(adapterConfig(lora, base), null, 2) + "\n"],
  ["adapter_model.safetensors", encodeSafetensors(parameters)],
  ["README.md", frontMatter(base.name, card.tags) + card.text]
]

const adapterConfig = (lora: LoraConfig, base: Base) => ({
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  base_model_name_or_path: base.name,
  revision: base.revision,
  r: lora.r,
  lora_alpha: lora.alpha,
  lora_dropout: 0,
  target_modules: [...lora.targets],
  bias: "none",
  fan_in_fan_out: false,
  use_rslora: lora.rankStabilized ?? false,
  rank_pattern: lora.ranks ?? {},
  alpha_pattern: lora.alphas ?? {},
  use_dora: false,
  init_lora_weights: true,
  inference_mode: true,
  modules_to_save: null
})

/** Of a card, for the Hub. @param tags besides lora, svg and vequinox */
export const frontMatter = (base: string, tags: ReadonlyArray<string> = []): string =>
  `---\nbase_model: ${base}\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n${["lora", ...tags, "svg", "vequinox"].map((tag) => `- ${tag}\n`).join("")}---\n`

export interface Adapter {
  readonly lora: LoraConfig
  readonly parameters: Parameters
}

/** Opens a PEFT folder, made by any program, to put on the base and to train further. */
export const openAdapter = Effect.fn("openAdapter")(function*(folder: string, base: DecoderCheckpoint) {
  const { files, lora, modules } = yield* openFactors(folder, base)
  const own = new Set(modulesOf(base.config).map(({ module }) => module))
  const beside = modules.find((module) => !own.has(module))
  if (beside !== undefined) {
    return yield* new CheckpointInvalid({
      message: `${folder} adapts ${beside}, but vequinox adapts only the matrices of attention and feed-forward blocks: fold it into its base with vequinox merge.`
    })
  }
  return { lora, parameters: readParameters(files) } satisfies Adapter as Adapter
})
