/** `vequinox/model`: opens the models that layers take as options from folders, and adapters for them. */
export { allLinear, modulesOf } from "../engine/nets/transformer.ts"
export { parameterCount } from "../engine/training/memory.ts"
export { initialAdapter, type LoraConfig } from "../engine/weights/parameters.ts"
export { type Adapter, openAdapter } from "./adapter.ts"
export { CheckpointInvalid, type DecoderCheckpoint, openDecoder } from "./model-folder.ts"
export { defaultFormat, openTokenizer, type PolicyTokenizer, type PromptFormat } from "./tokenizer/tokenizer.ts"
