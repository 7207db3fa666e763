/** A run's settings in the form the pipeline takes. */
import { objectiveOf } from "../../objectives/objectives.ts"
import type { PipelineConfig } from "../../steps/config.ts"
import type { TrainConfig } from "../settings.ts"

/**
 * @param firstStep the version that the run continues from; 0 at its beginning
 * @param oldestVersion the oldest version that its next drawings may be drawn from
 */
export const pipelineOf = (c: TrainConfig, firstStep = 0, oldestVersion = firstStep): PipelineConfig => ({
  steps: c.max_steps,
  firstStep,
  oldestVersion,
  seed: c.seed,
  promptsPerStep: c.prompts_per_step,
  promptsPerBatch: c.prompts_per_batch,
  k: c.num_generations,
  maxStaleness: c.max_staleness,
  lessons: objectiveOf({ lossType: c.loss_type }).learnsFrom === "advantages" ? "advantages" : "preferences",
  reward: c.reward,
  lengthReward: c.length_weight === 0 ? undefined : { weight: c.length_weight, characters: c.length_limit },
  scaleRewards: c.scale_rewards,
  maskTruncated: c.mask_truncated_completions,
  nearTies: c.tie_margin_quantile,
  comparisons: c.pair_comparisons,
  maxPairsPerPrompt: c.max_pairs_per_prompt === 0 ? undefined : c.max_pairs_per_prompt,
  pairs: c.pair_selection,
  ties: c.ties,
  labels: c.labels,
  pairWeighting: c.pair_weighting,
  invalidPairWeight: c.invalid_pair_weight,
  renderConcurrency: 4
})
