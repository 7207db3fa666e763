/** Which parameters a run trains, and what they start from. */
import * as path from "node:path"
import { Effect } from "effect"
import { openAdapter } from "../../model/adapter.ts"
import { type DecoderCheckpoint, openWeights, readParameters, weightsHash } from "../../model/model-folder.ts"
import { resolveConfig, type TrainConfig } from "../settings.ts"
import { factorsOf, initialAdapter, type LoraConfig } from "../../engine/weights/parameters.ts"
import { allLinear, modulesOf } from "../../engine/nets/transformer.ts"
import { BadInput } from "../../system/errors.ts"
import { fittingRuns } from "./trainer-memory.ts"

/** The settings that come with an adapter. */
export const brought = (lora: LoraConfig) => ({ lora_r: lora.r, lora_alpha: lora.alpha, lora_target_modules: lora.targets })

/** Settings given beside an adapter must be left at their defaults, or equal the adapter's. */
const agree = Effect.fnUntraced(function*(c: TrainConfig, lora: LoraConfig) {
  const usual = yield* resolveConfig(undefined, {})
  const text = (value: number | ReadonlyArray<string>) => JSON.stringify(typeof value === "number" ? value : [...value].sort())
  const own = brought(lora)
  const odd = (Object.keys(own) as Array<keyof typeof own>).find((name) =>
    text(c[name]) !== text(usual[name]) && text(c[name]) !== text(own[name]))
  if (odd === undefined) return
  return yield* new BadInput({
    message: `${odd} is ${text(c[odd])}, but the adapter ${c.adapter} has ${text(own[odd])}: leave one of the two out.`
  })
})

/**
 * The given adapter, which is also the reference, as in TRL's DPOTrainer; or a fresh adapter; or every parameter.
 * `reference`: what it begins with, if that is an adapter, or if it moves. `settings`: what config.json holds in place of the
 * settings as asked for.
 */
export const trainedParameters = Effect.fnUntraced(function*(c: TrainConfig, checkpoint: DecoderCheckpoint) {
  if (c.adapter !== "") {
    const { lora, parameters } = yield* openAdapter(c.adapter, checkpoint)
    yield* agree(c, lora)
    const sha256 = weightsHash(yield* openWeights(c.adapter, "adapter_model.safetensors"))
    const runs = yield* fittingRuns(c, checkpoint.config, lora)
    const settings = { ...brought(lora), ...runs, adapter: path.resolve(c.adapter), adapter_sha256: sha256 }
    return { lora, parameters, reference: parameters, settings }
  }
  if (c.lora_r === 0) {
    const runs = yield* fittingRuns(c, checkpoint.config, undefined) // before the parameters are read
    const parameters = readParameters(checkpoint)
    return { lora: undefined, parameters, reference: c.sync_ref_model ? parameters : undefined, settings: runs }
  }
  const modules = modulesOf(checkpoint.config)
  const targets = c.lora_target_modules.flatMap((target) => target === "all-linear" ? allLinear : [target])
  const nowhere = targets.find((target) => !modules.some(({ module }) => factorsOf({ r: 1, alpha: 1, targets: [target] }, module)))
  if (nowhere !== undefined) {
    return yield* new BadInput({
      message: `lora_target_modules names ${nowhere}, but this model has no matrix of that name: it has ${allLinear.join(", ")}, and all-linear means all.`
    })
  }
  const lora: LoraConfig = { r: c.lora_r, alpha: c.lora_alpha, targets }
  const runs = yield* fittingRuns(c, checkpoint.config, lora)
  const parameters = initialAdapter(modules, lora, c.seed)
  return { lora, parameters, reference: c.sync_ref_model ? parameters : undefined, settings: runs }
})
