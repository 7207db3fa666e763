/**
 * What training minimises. An objective is a row of one table (objectives.ts): its graph, its feeds, its metrics, its
 * source. The trainer knows none of them by name.
 *
 * A batch is token sequences and examples about them. An example is about one sequence or two, and carries one number,
 * its signal: the label of a pair, the advantage of a candidate.
 */
import type { Graph, Value } from "../engine/graph/graph.ts"

/** One thing to learn from. */
export interface Example {
  /** Sequences by index: chosen and rejected of a preference, else one. */
  readonly members: readonly [chosen: number, rejected: number] | readonly [sequence: number]
  /** A preference's label: P(chosen is the better one), [0.5, 1]. A candidate's advantage, signed. 1 for a completion to imitate. */
  readonly signal: number
  /** Multiplies its loss; > 0. */
  readonly weight: number
  /** Of a candidate: log-probability of each completion token under what it was drawn from, nats. */
  readonly drawn?: ReadonlyArray<number>
  /** What `prepare` found out about it from the whole batch, by the names of feeds. */
  readonly found?: Readonly<Record<string, number>>
}

/** Settings of all objectives; each row says which it `reads`. */
export interface ObjectiveSettings {
  /** Strength of the implicit reward, > 0; larger holds the policy nearer to the reference. */
  readonly beta: number
  /** Chance that a label is wrong: [0, 0.5). */
  readonly labelSmoothing: number
  /** How much stronger one must be to win rather than tie, > 1. Default 3. */
  readonly nu?: number
  /** Weight of the chosen completions' negative log-likelihood beside a loss of pairs, >= 0. Default 0, which adds none. */
  readonly rpoAlpha?: number
  /**
   * Nats a token, >= 0: where the policy gives a rejected completion less than this under the reference, it is pushed
   * down no further. Default 0, which sets no floor.
   */
  readonly rejectedFloor?: number
  /** What the tokens count by which the longer completion of a pair exceeds the shorter, [0, 1]. Default 1. */
  readonly ldAlpha?: number
  /** Losses of pairs: weigh each pair by how likely the policy is to draw it (pair-objective.ts). Default false. */
  readonly useWeighting?: boolean
  /** What the implicit reward comes from (pair-objective.ts). Default `reverse_kl`, which is DPO. */
  readonly fDivergenceType?: FDivergence
  readonly fAlphaDivergenceCoef?: number
  /** How sharply discopop changes from one loss to the other, > 0. Default 0.05. */
  readonly discopopTau?: number
  /** The settings of policy gradients with importance ratios (grpo.ts), TRL's names. */
  readonly epsilon?: number
  /** Upper bound of a ratio above 1; 0 takes `epsilon`. */
  readonly epsilonHigh?: number
  /** Largest ratio of a candidate that is pushed down; 0 sets no bound. */
  readonly delta?: number
  readonly importanceSamplingLevel?: "token" | "sequence"
  readonly sapoTemperaturePos?: number
  readonly sapoTemperatureNeg?: number
  /** What is done about candidates that were not drawn from the policy that is updated. */
  readonly importanceSamplingMode?: ImportanceSamplingMode
  readonly importanceSamplingClipMax?: number
  /** Tokens: what dr_grpo divides by. */
  readonly maxCompletionLength?: number
}

/** TRL's f_divergence_type. */
export const fDivergences = ["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"] as const
export type FDivergence = (typeof fDivergences)[number]

/** Those that a person chooses for the objective's sake. */
export type ReadSetting = Exclude<keyof ObjectiveSettings, "maxCompletionLength">

export const importanceSamplingModes = ["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] as const
export type ImportanceSamplingMode = (typeof importanceSamplingModes)[number]

/** The policy's log-probabilities for the sequences of one run, in the graph. */
export interface Scored {
  /** [token] float32: log-probability of each completion token, nats. */
  readonly tokens: Value
  /** [token] int64: which sequence each belongs to. */
  readonly segments: Value
  /** [sequence] float32: their sums by sequence. */
  readonly logps: Value
  /** [sequence] float32: the same under the reference. Zero if the objective reads none. */
  readonly reference: Value
  /** [token] float32: log-probabilities under the reference; undefined if the objective reads none. */
  readonly referenceTokens: Value | undefined
  /** [token] float32: log Σ p² over the vocabulary at the token's place, nats, no derivative; undefined if it is not read. */
  readonly concentrations: Value | undefined
  /** [sequence] float32: completion tokens. */
  readonly lengths: Value
}

/** One run's share of a batch: its examples, whose members are numbered within the run, and totals over the whole batch. */
export interface Share {
  readonly examples: ReadonlyArray<Example>
  /** Completion tokens of each of the run's sequences. */
  readonly lengths: ReadonlyArray<number>
  /**
   * By sequence of the run, then by token: log-probabilities under the policy as it was before the batch's first update,
   * nats. Undefined at the first update: they are the policy's own.
   */
  readonly old: ReadonlyArray<ReadonlyArray<number>> | undefined
  readonly batch: {
    /** Sum of the weights of all examples. */
    readonly weight: number
    /** Completion tokens of all sequences. */
    readonly tokens: number
    /** Completion tokens of the examples' first members, each times `imitation` of its example. */
    readonly imitated: number
    /** Completion tokens of the examples' first members, each times its example's weight. */
    readonly weighedTokens: number
  }
}

/**
 * How much an example says "do this": its weight times 2 · signal - 1. All of the weight for a plain label, nothing for
 * a tie, which has no chosen side; between the two for a soft label.
 */
export const imitation = ({ signal, weight }: Example): number => weight * (2 * signal - 1)

/** @param lengths completion tokens by sequence */
export const totalsOf = (examples: ReadonlyArray<Example>, lengths: ReadonlyArray<number>): Share["batch"] => ({
  weight: examples.reduce((sum, { weight }) => sum + weight, 0),
  tokens: lengths.reduce((sum, length) => sum + length, 0),
  imitated: examples.reduce((sum, example) => sum + imitation(example) * lengths[example.members[0]]!, 0),
  weighedTokens: examples.reduce((sum, { members: [first], weight }) => sum + weight * lengths[first]!, 0)
})

/** A feed of a graph, `[data.length]`. */
export type ObjectiveFeed =
  | { readonly type: "float32"; readonly data: ReadonlyArray<number> }
  | { readonly type: "int64"; readonly data: ReadonlyArray<number> }

/** A whole batch after its step, as numbers: what metrics are made of. */
export interface Stepped {
  readonly examples: ReadonlyArray<Example>
  /** By sequence: summed log-probabilities before the update, nats; the reference's are 0 if the objective has none. */
  readonly policy: Float64Array
  readonly reference: Float64Array
  /** By sequence: completion tokens. */
  readonly lengths: ReadonlyArray<number>
  /** By sequence, then by token, nats: under the policy, before the batch's first update, and under the reference if it is read. */
  readonly tokens: ReadonlyArray<ReadonlyArray<number>>
  readonly old: ReadonlyArray<ReadonlyArray<number>>
  readonly referenceTokens: ReadonlyArray<ReadonlyArray<number>> | undefined
  readonly concentrations?: ReadonlyArray<ReadonlyArray<number>> | undefined
}

/** A whole batch before its update: log-probabilities by sequence, then by token, nats. */
export interface Foreseen {
  readonly examples: ReadonlyArray<Example>
  readonly lengths: ReadonlyArray<number>
  readonly tokens: ReadonlyArray<ReadonlyArray<number>>
  readonly referenceTokens: ReadonlyArray<ReadonlyArray<number>>
}

export interface Objective {
  /** What it learns from: pairs with a label, candidates with an advantage, or completions to imitate. */
  readonly learnsFrom: "preferences" | "advantages" | "completions"
  /** Whether its graph reads the reference's log-probabilities; if not, they are not computed. */
  readonly reference: (settings: Pick<ObjectiveSettings, "beta">) => boolean
  /** Whether its graph reads `concentrations`; if not, they are not computed. Default no. */
  readonly concentrations?: (settings: ObjectiveSettings) => boolean
  /**
   * Of a loss in which the examples of a batch depend on one another: the same examples with what each needs to know of the
   * others (`found`). Both models are then run forward over the whole batch before its update.
   */
  readonly prepare?: (settings: ObjectiveSettings, batch: Foreseen) => ReadonlyArray<Example>
  /** It reads the chosen side of a pair alone, so the rejected one is not computed. */
  readonly chosenOnly?: true
  /** The settings that change its loss or its metrics; it ignores the others. */
  readonly reads: ReadonlyArray<ReadSetting>
  /** What a run with this objective does, in two or three words: "Online DPO". */
  readonly title: string
  /** Paper and equation, and where ours differs. */
  readonly source: string
  /**
   * The loss of one run, [1] float32. `feeds` fills the inputs that it adds to the graph with `g.input`. The losses of
   * a batch's runs add up to the batch's loss.
   */
  readonly loss: (g: Graph, settings: ObjectiveSettings, scored: Scored) => Value
  readonly feeds: (settings: ObjectiveSettings, share: Share) => Readonly<Record<string, ObjectiveFeed>>
  /** Metrics besides `loss`, `grad_norm` and `num_tokens`, which every objective has. TRL's names where TRL has them. */
  readonly metrics: (settings: ObjectiveSettings, stepped: Stepped) => Readonly<Record<string, number>>
}

export const float32s = <A>(items: ReadonlyArray<A>, of: (item: A) => number): ObjectiveFeed => ({ type: "float32", data: items.map(of) })
export const int64s = <A>(items: ReadonlyArray<A>, of: (item: A) => number): ObjectiveFeed => ({ type: "int64", data: items.map(of) })
