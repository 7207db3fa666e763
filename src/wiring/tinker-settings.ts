/** Settings of runs that a Tinker server trains, and which of them hold together. */
import { Schema } from "effect"
import { orElse } from "../system/ranges.ts"
import type { TrainConfig } from "./settings.ts"

export const tinkerSettings = {
  tinker_url: [orElse(Schema.String, ""), "tinker: address of its server; empty takes TINKER_BASE_URL. The key belongs in TINKER_API_KEY"],
  tinker_base_model: [orElse(Schema.String, ""), "tinker: the server's name of the policy's base; empty takes the only one that it has"]
} as const

/** Defaults that the protocol can keep, where this machine's are others. */
export const usualOnTinker = ({ optimizer, sampler }: Pick<TrainConfig, "optimizer" | "sampler">): Partial<TrainConfig> => ({
  ...(optimizer === "tinker" ? { max_grad_norm: 0 } : {}),
  ...(sampler === "tinker" ? { min_p: 0 } : {})
})

/** Why these settings cannot hold together, a sentence, or undefined. */
export const tinkerProblem = (c: TrainConfig, given: Readonly<Record<string, unknown>>): string | undefined => {
  if (c.optimizer === "tinker") {
    return c.lora_r === 0 || c.adapter !== "" ? `A Tinker server trains a fresh adapter of its own: leave ${c.adapter === "" ? "--lora-r 0" : "--adapter"} out.` : undefined
  }
  if (c.sampler === "tinker") return "sampler tinker draws from what its server trained, and weights cannot be sent there: give --optimizer tinker too."
  const idle = (["tinker_url", "tinker_base_model"] as const).find((name) => name in given && given[name] !== "")
  return idle === undefined ? undefined : `${idle} means nothing without a Tinker server: give --optimizer tinker, or leave it out.`
}
