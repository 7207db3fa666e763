/** How a prompt's drawings are compared, and how the verdicts become lessons. Part of the pipeline's settings. */
export interface ComparisonOptions {
  /** Candidates a prompt, >= 2. Default 4. */
  readonly k: number
  /**
   * Which pairs of a prompt's K drawings the judge is asked about. `all`: K(K-1)/2. `anchor`: each drawing against one
   * of them, K - 1. `swiss`: a Swiss tournament of ceil(log2 K) rounds of K/2 (compare.ts). Default `all`.
   */
  readonly comparisons: "all" | "anchor" | "swiss"
  /** The most pairs of one prompt that are decided, >= 1, drawn at random among `all`. Default: no limit. */
  readonly maxPairsPerPrompt?: number | undefined
}

export interface LengthReward {
  /** In the unit of the reward; > 0. */
  readonly weight: number
  /** Length from which there is nothing, characters of the whole drawing; > 0. */
  readonly characters: number
}

export interface LessonOptions extends ComparisonOptions {
  /**
   * What the objective learns from (objectives/objective.ts): pairs with a label (label.ts), or single candidates with
   * a signed advantage (advantage.ts). The options from `pairs` on apply to preferences only. Default `preferences`.
   */
  readonly lessons: "preferences" | "advantages"
  /** What an advantage is made from: the share of comparisons won, or the judge's own scores (advantage.ts). Default `win_rate`. */
  readonly reward?: "win_rate" | "score" | undefined
  /** What a drawing that renders gets on top of its reward for being short (advantage.ts). Default: nothing. */
  readonly lengthReward?: LengthReward | undefined
  /** What a reward's distance from its prompt's mean is divided by: the prompt's deviation, the step's, or nothing. Default `none`. */
  readonly scaleRewards?: "group" | "batch" | "none" | undefined
  /** Whether candidates that ran into the limit on tokens make no advantage. Default no. */
  readonly maskTruncated?: boolean | undefined
  /** Share of a step's scored pairs that are ties because their gaps are the smallest (near-ties.ts), [0, 1). Default 0. */
  readonly nearTies?: number
  /**
   * Which of a prompt's decided pairs are trained: all of them; best against worst; or those between its better and its
   * worse half (DP2O-SR's top-N by bottom-N; the middle of an odd K is left out). Default `all`.
   */
  readonly pairs: "all" | "best-worst" | "top-bottom"
  /** `train`: a tie is a preference with the label 0.5. `drop`: a tie is not a preference. Default `drop`. */
  readonly ties: "drop" | "train"
  /** `soft`: a label is (1 + confidence) / 2, from the judge's own confidence. `hard`: 1. Default `hard`. */
  readonly labels: "hard" | "soft"
  /** An extra factor of a pair's weight (weigh.ts). Default `none`. */
  readonly pairWeighting: "none" | "gap" | "diversity" | "gap-diversity"
  /** Weight of a pair won because the other drawing is invalid, >= 0; 0 leaves such pairs out. Default 1. */
  readonly invalidPairWeight: number
}
