/** What is compared: ways to learn, each a name and what it changes. A new candidate is a row here. */
import type { RunOptions } from "../../src/wiring/run/run.ts"

/** A run of ours; settings that are not named are the default run's. */
export interface OwnRecipe {
  readonly by: "vequinox"
  readonly says: string
  readonly settings: Omit<RunOptions, "judge" | "sampler" | "renderer" | "buffer" | "optimizer" | "prompts">
}

/** TRL's OnlineDPOTrainer as it stands, two drawings a prompt (../peers/online_dpo_trl.py); the rest is its default. */
export interface TrlRecipe {
  readonly by: "trl"
  readonly says: string
  readonly learningRate: number
  /** Prompts an update. */
  readonly batch: number
  /** 0 trains every parameter. Alpha is twice the rank. */
  readonly loraRank: number
}

export type Recipe = OwnRecipe | TrlRecipe

const own = (says: string, settings: OwnRecipe["settings"]): OwnRecipe => ({ by: "vequinox", says, settings })
const trl = (learningRate: number, batch: number, loraRank = 16): TrlRecipe => ({
  by: "trl",
  says: `TRL's OnlineDPOTrainer, ${batch} prompts an update, learning rate ${learningRate}, ${loraRank === 0 ? "all parameters" : `LoRA ${loraRank}`}`,
  learningRate,
  batch,
  loraRank
})

export const recipes: Readonly<Record<string, Recipe>> = {
  default: own("the default run", {}),
  "16x8": own("16 prompts with 8 drawings a step, learning rate 0.002", { prompts_per_step: 16, num_generations: 8, learning_rate: 2e-3 }),
  "32x4": own("32 prompts with 4 drawings a step, divided among 4 updates, learning rate 0.0007", { prompts_per_step: 32, prompts_per_batch: 32, num_generations: 4, steps_per_generation: 4, learning_rate: 7e-4 }),
  dapo: own("DAPO", { loss_type: "dapo" }),
  sft: own("the likelihood of the best of 4 alone", { loss_type: "sft" }),
  "rpo0.25": own("a quarter of the chosen drawings' likelihood", { rpo_alpha: 0.25 }),
  rpo1: own("as much of the chosen drawings' likelihood", { rpo_alpha: 1 }),
  dpo: own("preferences alone", { rpo_alpha: 0 }),
  full: own("all parameters, learning rate 0.0005", { lora_r: 0, learning_rate: 5e-4 }),
  "lr5e-4": own("learning rate 0.0005", { learning_rate: 5e-4 }),
  "lr2e-3": own("learning rate 0.002", { learning_rate: 2e-3 }),
  "trl-1e-4": trl(1e-4, 16),
  "trl-5e-4": trl(5e-4, 16),
  "trl-2e-3": trl(2e-3, 16),
  "trl-64-5e-4": trl(5e-4, 64),
  "trl-64-2e-3": trl(2e-3, 64),
  "trl-full-1e-5": trl(1e-5, 16, 0),
  "trl-full-1e-4": trl(1e-4, 16, 0)
}
