/** What the pipeline itself can be told; the boxes have settings of their own, in their layers. */
export interface PipelineConfig {
  /** Optimizer steps of the whole run, >= 1: rollouts `firstStep` .. `steps - 1` are made. */
  readonly steps: number
  /** Where a resumed run goes on: the version its parameters have, >= 0. Default 0. */
  readonly firstStep: number
  /**
   * The oldest policy version that can be read, 0 .. `firstStep`. Default `firstStep`. A resumed run with
   * `maxStaleness` s equals the run that never stopped if versions `firstStep - s` .. `firstStep` were published again.
   */
  readonly oldestVersion?: number | undefined
  /** Key of all randomness, any integer. Default 0. */
  readonly seed: number
  /** Prompts a step, >= 1; fewer when there are not so many. Default 32. */
  readonly promptsPerStep: number
  /** Prompts sampled together, >= 1: rendering and judging begin when the first batch of a step is sampled. Default 32. */
  readonly promptsPerBatch: number
  /** Candidates a prompt, >= 2. Default 4. */
  readonly k: number
  /** Versions a drawing may be behind the step that trains on it, >= 0. 0 is the synchronous run. Default 1. */
  readonly maxStaleness: number
  /**
   * Which of a prompt's decided pairs are trained: every one; best against worst; or those between its better and its
   * worse half (DP2O-SR's top-N by bottom-N; the middle of an odd K is left out). Default `all`.
   */
  readonly pairs: "all" | "best-worst" | "top-bottom"
  /**
   * Which pairs of a prompt's K drawings are put to the judge: `all` K(K-1)/2; each against one of them, `anchor`, K - 1;
   * or a Swiss tournament of ceil(log2 K) rounds of K/2, `swiss` (lessons/compare.ts). Default `all`.
   */
  readonly comparisons: "all" | "anchor" | "swiss"
  /** `train`: a tie is a preference with the label 0.5. `drop`: it is none. Default `drop`. */
  readonly ties: "drop" | "train"
  /** `soft`: a label is (1 + confidence) / 2, what the judge itself thinks of its verdict. `hard`: 1. Default `hard`. */
  readonly labels: "hard" | "soft"
  /** What a pair's weight is multiplied with besides (lessons/weigh.ts). Default `none`. */
  readonly pairWeighting: "none" | "gap" | "diversity" | "gap-diversity"
  /** Pairs of one prompt that are decided at most, >= 1, drawn at random among `all`. Default: no limit. */
  readonly maxPairsPerPrompt?: number | undefined
  /** Weight of a pair won because the other drawing is invalid, >= 0; 0 leaves such pairs out. Default 1. */
  readonly invalidPairWeight: number
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
  pairs: "all",
  comparisons: "all",
  ties: "drop",
  labels: "hard",
  pairWeighting: "none",
  invalidPairWeight: 1,
  renderConcurrency: 2
}

/** The policy version that rollout `step` is drawn from: exactly this one, however fast the stages happen to be. */
export const versionFor = ({ firstStep, maxStaleness, oldestVersion }: PipelineConfig, step: number): number =>
  Math.max(oldestVersion ?? firstStep, step - maxStaleness)
