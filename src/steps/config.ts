import type { LessonOptions } from "../lessons/options.ts"

/** Settings of the pipeline itself; each box has its own settings, in its layer. */
export interface PipelineConfig extends LessonOptions {
  /** Optimizer steps of the whole run, >= 1: rollouts `firstStep` .. `steps - 1` are made. */
  readonly steps: number
  /** The step a resumed run continues at: the version of its parameters, >= 0. Default 0. */
  readonly firstStep: number
  /**
   * The oldest policy version that can be read, 0 .. `firstStep`. Default `firstStep`. A resumed run with
   * `maxStaleness` s equals the run that never stopped if versions `firstStep - s` .. `firstStep` were published again.
   */
  readonly oldestVersion?: number | undefined
  /** Key of all randomness, any integer. Default 0. */
  readonly seed: number
  /** Prompts a step, >= 1; fewer if there are fewer prompts. Default 32. */
  readonly promptsPerStep: number
  /** Prompts sampled together, >= 1: rendering and judging begin when the first batch of a step is sampled. Default 32. */
  readonly promptsPerBatch: number
  /** Versions a drawing may be behind the step that trains on it, >= 0. 0 is the synchronous run. Default 1. */
  readonly maxStaleness: number
  /** Drawings rendered at the same time, >= 1. Default 2. */
  readonly renderConcurrency: number
}

export const defaultPipeline: PipelineConfig = {
  steps: 100,
  firstStep: 0,
  seed: 0,
  promptsPerStep: 32,
  promptsPerBatch: 32,
  k: 4,
  maxStaleness: 1,
  lessons: "preferences",
  pairs: "all",
  comparisons: "all",
  ties: "drop",
  labels: "hard",
  pairWeighting: "none",
  invalidPairWeight: 1,
  renderConcurrency: 2
}

/** The policy version that rollout `step` is drawn from: always this one, no matter how fast the stages are. */
export const versionFor = ({ firstStep, maxStaleness, oldestVersion }: PipelineConfig, step: number): number =>
  Math.max(oldestVersion ?? firstStep, step - maxStaleness)
