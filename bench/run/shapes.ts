/** Which model is profiled: the embedded policy, a folder, or random weights in the shape of a model that many know. */
import * as path from "node:path"
import type { DecoderConfig } from "../../src/engine/nets/transformer.ts"
import { embedded } from "../../src/system/installed.ts"
import { qwenShape, writeRandomCheckpoint } from "../trainer.ts"

/** SmolLM2-135M's, from its config.json. */
export const smolShape: DecoderConfig = {
  family: "llama",
  vocab: 49_152,
  hidden: 576,
  intermediate: 1536,
  layers: 30,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  queryScalar: 64,
  normEpsilon: 1e-5,
  ropeTheta: 100_000,
  ropeScaling: undefined,
  sliding: undefined,
  tied: true,
  maxPositions: 8192
}

const random: Readonly<Record<string, { readonly name: string; readonly config: DecoderConfig }>> = {
  "135m": { name: "SmolLM2-135M's shape, random weights", config: smolShape },
  "0.6b": { name: "Qwen3-0.6B's shape, random weights", config: qwenShape(28) }
}

export const shapeNames = ["embedded", ...Object.keys(random)]

export interface Profiled {
  readonly name: string
  readonly folder: string
  /** Whether it has a tokenizer, and so can draw a run's own prompts. */
  readonly speaks: boolean
}

/** @param shape one of `shapeNames`, if no folder is given @param scratch a folder that random weights may be written into */
export const modelOf = (shape: string, folder: string | undefined, scratch: string): Profiled => {
  if (folder !== undefined) return { name: path.basename(path.resolve(folder)), folder: path.resolve(folder), speaks: true }
  const made = random[shape]
  if (made === undefined) return { name: "the embedded policy", folder: embedded("policy"), speaks: true }
  const written = path.join(scratch, "model")
  writeRandomCheckpoint(written, made.config)
  return { name: made.name, folder: written, speaks: false }
}
