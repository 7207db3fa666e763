/** A run's settings in the forms that samplers take. */
import type { SamplingOptions } from "../../engine/sampling/sampling.ts"
import type { PromptFormat } from "../../model/tokenizer/tokenizer.ts"
import type { TrainConfig } from "../settings.ts"

export const samplingOf = (c: TrainConfig): SamplingOptions => ({
  temperature: c.temperature,
  topK: c.top_k,
  topP: c.top_p,
  minP: c.min_p,
  repetitionPenalty: c.repetition_penalty
})

export const formatOf = (c: TrainConfig): PromptFormat => ({ systemPrompt: c.system_prompt, promptTemplate: c.prompt_template, prefill: c.prefill })
