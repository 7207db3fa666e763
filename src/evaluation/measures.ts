/**
 * What an evaluation measures: the one structure behind summary.json, the report, `inspect` and the closing lines of
 * `train`. Shares are in [0, 1]; intervals hold 95 %.
 */
import { Schema } from "effect"

const Interval = Schema.Struct({ value: Schema.Finite, lower: Schema.Finite, upper: Schema.Finite })

/** A share with Wilson's interval. */
const Share = Schema.Struct({ ...Interval.fields, n: Schema.Int })
export type Share = typeof Share.Type

/** What a prompt of the grammar asks for; `single`: one creature or vehicle, `pair`: a big and a small figure. */
export const kinds = ["single", "pair", "relation", "count", "rider"] as const
export type Kind = (typeof kinds)[number]

/** How often the trained policy's drawing beats the untrained one's, each at its best temperature; ties count half. */
export const WinRate = Schema.Struct({
  ...Interval.fields,
  n: Schema.Int,
  scorer: Schema.String,
  /** Two drawings whose scores differ by no more tie; >= 0, in the scorer's unit. */
  margin: Schema.Finite,
  /** Prompts that did not tie. */
  decided: Schema.Int,
  /** The share of those that the trained policy won. */
  decidedRate: Interval
})
export type WinRate = typeof WinRate.Type

/** One drawing a held-out prompt, at one temperature. */
const AtTemperature = Schema.Struct({
  temperature: Schema.Finite,
  /** Null where no prompt has a right and a wrong. */
  right: Schema.NullOr(Share),
  /** Mean, by the scorer that `Learning` names. */
  score: Schema.Finite,
  validity: Schema.Finite,
  /** Tokens a drawing. */
  tokens: Schema.Finite
})
export type AtTemperature = typeof AtTemperature.Type

/** Several drawings of each of some training prompts, at one temperature. */
const Choice = Schema.Struct({
  temperature: Schema.Finite,
  /** Share right, or the mean score where `Learning` measures scores. */
  worth: Schema.Finite,
  /** Nats a drawing: mean of -log p under what it was drawn from. */
  entropy: Schema.Finite,
  /** Distinct pictures among a prompt's drawings that rendered, as a share of them. */
  distinct: Schema.Finite
})
export type Choice = typeof Choice.Type

const PolicyMeasures = Schema.Struct({
  /** The one of highest worth in `choice`. */
  bestTemperature: Schema.Finite,
  choice: Schema.Array(Choice),
  curve: Schema.Array(AtTemperature)
})
export type PolicyMeasures = typeof PolicyMeasures.Type

/** Each policy at its best temperature; the interval of the difference is a paired bootstrap over the prompts. */
const RightChange = Schema.Struct({ before: Share, after: Share, difference: Interval })
export type RightChange = typeof RightChange.Type
const ScoreChange = Schema.Struct({ before: Schema.Finite, after: Schema.Finite, difference: Interval })

/** The untrained policy's best of K drawings by the training judge, for each held-out prompt. */
const BestOf = Schema.Struct({
  judge: Schema.String,
  temperature: Schema.Finite,
  of: Schema.Array(Schema.Struct({
    k: Schema.Int,
    right: Schema.NullOr(Share),
    score: Schema.Finite,
    /** Tokens a prompt, of all K drawings. */
    tokens: Schema.Finite,
    /** One drawing of the trained policy at its best temperature, minus this: in share right, or in score. */
    trainedMinusThis: Interval
  }))
})
export type BestOf = typeof BestOf.Type

export const Learning = Schema.Struct({
  /** Temperatures are chosen by, and differences are told in: the share right, or the mean score. */
  measure: Schema.Literals(["right", "score"]),
  /** Whose mean score is told; a drawing that does not render counts as the worst one that did, by the scene check as 0. */
  scorer: Schema.String,
  heldOut: Schema.Int,
  /** Training prompts that the best temperatures were chosen on, and the drawings of each. */
  chosenOn: Schema.Struct({ prompts: Schema.Int, drawings: Schema.Int }),
  before: PolicyMeasures,
  after: PolicyMeasures,
  /** Null where no held-out prompt has a right and a wrong. */
  right: Schema.NullOr(RightChange),
  score: ScoreChange,
  kinds: Schema.Array(Schema.Struct({ kind: Schema.Literals(kinds), ...RightChange.fields })),
  bestOf: Schema.Union([BestOf, Schema.Struct({ notAsked: Schema.String })]),
  /** Distinct drawings at one entropy, nats a drawing: the highest that both policies reach at temperature 1. */
  distinct: Schema.Struct({ entropy: Schema.Finite, before: Schema.Finite, after: Schema.Finite }),
  /** What was learned and what was not. */
  sentence: Schema.String
})
export type Learning = typeof Learning.Type

const BeforeAfter = Schema.Struct({ before: Schema.Finite, after: Schema.Finite })

/** All that is measured at a run's end. Without held-out prompts `learning` is null and `winRate.n` is 0. */
export const Evaluated = Schema.Struct({
  winRate: WinRate,
  /** By the other scorers. */
  otherWinRates: Schema.Array(WinRate),
  /** Share of held-out drawings that render, each policy at its best temperature. */
  validity: BeforeAfter,
  /** Distinct drawings at one entropy (`learning.distinct`). */
  diversity: BeforeAfter,
  /** Tokens a held-out drawing, each policy at its best temperature. */
  length: BeforeAfter,
  learning: Schema.NullOr(Learning)
})
export type Evaluated = typeof Evaluated.Type
