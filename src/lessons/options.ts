/** How a prompt's drawings are compared, and what becomes of the verdicts. Part of the pipeline's settings. */
export interface ComparisonOptions {
  /** Candidates a prompt, >= 2. Default 4. */
  readonly k: number
  /**
   * Which pairs of a prompt's K drawings are put to the judge: `all` K(K-1)/2; each against one of them, `anchor`, K - 1;
   * or a Swiss tournament of ceil(log2 K) rounds of K/2, `swiss` (compare.ts). Default `all`.
   */
  readonly comparisons: "all" | "anchor" | "swiss"
  /** Pairs of one prompt that are decided at most, >= 1, drawn at random among `all`. Default: no limit. */
  readonly maxPairsPerPrompt?: number | undefined
}

export interface LessonOptions extends ComparisonOptions {
  /**
   * What the objective learns from (objectives/objective.ts): pairs with a label (label.ts), or single candidates with a
   * signed advantage (advantage.ts). The other options below are read for preferences only. Default `preferences`.
   */
  readonly lessons: "preferences" | "advantages"
  /**
   * Which of a prompt's decided pairs are trained: every one; best against worst; or those between its better and its
   * worse half (DP2O-SR's top-N by bottom-N; the middle of an odd K is left out). Default `all`.
   */
  readonly pairs: "all" | "best-worst" | "top-bottom"
  /** `train`: a tie is a preference with the label 0.5. `drop`: it is none. Default `drop`. */
  readonly ties: "drop" | "train"
  /** `soft`: a label is (1 + confidence) / 2, what the judge itself thinks of its verdict. `hard`: 1. Default `hard`. */
  readonly labels: "hard" | "soft"
  /** What a pair's weight is multiplied with besides (weigh.ts). Default `none`. */
  readonly pairWeighting: "none" | "gap" | "diversity" | "gap-diversity"
  /** Weight of a pair won because the other drawing is invalid, >= 0; 0 leaves such pairs out. Default 1. */
  readonly invalidPairWeight: number
}
