/** An adapter as a PEFT folder: adapter_config.json, adapter_model.safetensors, README.md (the model card). */
import { Effect, Schema } from "effect"
import { CheckpointInvalid, type DecoderCheckpoint, openWeights, readJson, readParameters } from "./checkpoint.ts"
import { isTarget, type LoraConfig, loraNames } from "./numerics/parameters.ts"
import { encodeSafetensors } from "./numerics/safetensors.ts"
import type { Parameters } from "./numerics/tensor.ts"
import { modulesOf } from "./numerics/transformer.ts"

/** The model that an adapter was trained on. */
export interface Base {
  /** A Hub id or a path. */
  readonly name: string
  /** The commit on the Hub; null for a folder. */
  readonly revision: string | null
}

/**
 * The files of the folder, by name.
 *
 * @param card text of the model card below its front matter
 */
export const adapterFiles = (
  parameters: Parameters,
  lora: LoraConfig,
  base: Base,
  card = ""
): ReadonlyArray<readonly [string, string | Uint8Array]> => [
  ["adapter_config.json", JSON.stringify(adapterConfig(lora, base), null, 2) + "\n"],
  ["adapter_model.safetensors", encodeSafetensors(parameters)],
  ["README.md", frontMatter(base) + card]
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
  use_rslora: false,
  use_dora: false,
  init_lora_weights: true,
  inference_mode: true,
  modules_to_save: null
})

const frontMatter = (base: Base): string =>
  `---\nbase_model: ${base.name}\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n- lora\n- dpo\n- svg\n- vequinox\n---\n`

const AdapterJson = Schema.Struct({
  peft_type: Schema.Literal("LORA"),
  r: Schema.Int.check(Schema.isGreaterThan(0)),
  lora_alpha: Schema.Finite,
  target_modules: Schema.Array(Schema.String),
  use_rslora: Schema.optionalKey(Schema.Boolean),
  use_dora: Schema.optionalKey(Schema.Boolean)
})

export interface Adapter {
  readonly lora: LoraConfig
  readonly parameters: Parameters
}

/** Reads a PEFT folder and checks it against the base it is to be put on. */
export const openAdapter = Effect.fn("openAdapter")(function*(folder: string, base: DecoderCheckpoint) {
  const json = yield* readJson(folder, "adapter_config.json", AdapterJson)
  if (json.use_rslora || json.use_dora) {
    return yield* new CheckpointInvalid({ message: `${folder}: rsLoRA and DoRA adapters are not read; use a plain LoRA.` })
  }
  const lora: LoraConfig = { r: json.r, alpha: json.lora_alpha, targets: json.target_modules }
  const files = yield* openWeights(folder, "adapter_model.safetensors")
  const modules = modulesOf(base.config).filter(({ module }) => isTarget(lora, module))
  for (const { in: width, module, out } of modules) {
    const { A, B } = loraNames(module)
    for (const [name, shape] of [[A, [lora.r, width]], [B, [out, lora.r]]] as const) {
      const found = files.index.get(name)?.shape
      if (found?.join() !== shape.join()) {
        return yield* new CheckpointInvalid({
          message: `${folder} is not an adapter of ${base.folder}: ${name} is ${found ? `[${found}]` : "missing"}, but the base asks for [${shape}].`
        })
      }
    }
  }
  return { lora, parameters: readParameters(files) } satisfies Adapter as Adapter
})
