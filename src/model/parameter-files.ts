import type { LoraConfig } from "../engine/weights/parameters.ts"
import { encodeSafetensors } from "../engine/weights/safetensors.ts"
import type { Parameters } from "../engine/weights/tensor.ts"
import { adapterFiles, type Base, type Card } from "./adapter.ts"

/** How the trainable parameters are written: a PEFT adapter, or a whole checkpoint's weights. */
export const parameterFiles = (
  parameters: Parameters,
  lora: LoraConfig | undefined,
  base: Base,
  card?: Card
): ReadonlyArray<readonly [string, string | Uint8Array]> =>
  lora === undefined
    ? [[weightsFile(lora), encodeSafetensors(parameters)]]
    : adapterFiles(parameters, lora, base, card)

/** The file of the weights among them. */
export const weightsFile = (lora: LoraConfig | undefined): string => lora === undefined ? "model.safetensors" : "adapter_model.safetensors"
