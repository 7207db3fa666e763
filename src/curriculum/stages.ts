/**
 * When a curriculum widens. Where a run is in its curriculum follows from what was measured, and that is in its records:
 * a resumed run, a report and `inspect` read the same position from the same steps.
 */
import { Effect, Schema } from "effect"
import { int, real } from "../system/ranges.ts"

const orElse = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/**
 * What is measured on a stage's held-out prompts:
 *
 * - `right`: share of drawings with a score of at least 0.9
 * - `score`: mean score
 * - `validity`: share of drawings that render
 *
 * Scores are those of the first of the run's scorers that knows all these prompts; without a rendering it is 0.
 */
export const Measure = Schema.Literals(["right", "score", "validity"])
export type Measure = typeof Measure.Type

/** A stage without its prompts: what decides when it is over. Names as in the curriculum's file. */
export const terms = {
  name: Schema.NonEmptyString,
  measure: orElse(Measure, "right"),
  /** The stage is passed when the measure is at least this. */
  threshold: real(-1e6, 1e6),
  /** How many evaluations in a row must reach the threshold. */
  evaluations: orElse(int(1, 1000), 2),
  /** Steps from one evaluation to the next; the first comes as many steps after the stage has begun. */
  every: orElse(int(1, 1e6), 5),
  /** Drawings of an evaluation, at least; the held-out prompts share them. */
  drawings: orElse(int(1, 1e5), 32),
  /** Share of a step's prompts that are drawn from earlier stages. */
  keep: orElse(real(0, 0.9), 0.25),
  /** Steps after which the stage is given up. */
  max_steps: Schema.optionalKey(int(1, 1e9)),
  /** What happens when it is given up: the prompts widen anyway, or the run ends. */
  otherwise: orElse(Schema.Literals(["widen", "stop"]), "widen")
}

export const Terms = Schema.Struct(terms)
export type Terms = typeof Terms.Type

/** A stage as config.json holds it: its terms, and how many prompts it adds to train and to evaluate. */
export const StoredStage = Schema.Struct({ ...terms, prompts: int(0), held_out: int(0) })
export type StoredStage = typeof StoredStage.Type

/** Where a run is in its curriculum. */
export interface Position {
  /** Index of the stage that is drawn from. */
  readonly stage: number
  /** Its first rollout. */
  readonly since: number
  /** Evaluations in a row, up to now, that reached the threshold. */
  readonly inRow: number
  /** What was measured last in this stage. */
  readonly value: number | undefined
  /** Set when nothing is measured any more: the last stage is passed or given up, or the run ends. */
  readonly over?: "passed" | "given up" | "stopped"
}

/** The end of a stage, decided before this rollout was drawn. */
export interface StageEnd {
  readonly rollout: number
  /** Index of the stage that ended. */
  readonly stage: number
  readonly kind: "passed" | "given up"
  /** What was measured last; undefined if nothing was. */
  readonly value: number | undefined
}

export const start: Position = { stage: 0, since: 0, inRow: 0, value: undefined }

/** Whether the stage is measured before this rollout. */
export const isMeasured = (stages: ReadonlyArray<Terms>, { over, since, stage }: Position, rollout: number): boolean =>
  over === undefined && rollout > since && (rollout - since) % stages[stage]!.every === 0

/**
 * The position that a rollout is drawn at, and the stage that ended before it.
 *
 * @param value what was measured before this rollout, if the stage was measured
 */
export const advance = (stages: ReadonlyArray<Terms>, at: Position, rollout: number, value: number | undefined): readonly [Position, StageEnd?] => {
  if (at.over !== undefined) return [at]
  const { evaluations, max_steps = Infinity, otherwise, threshold } = stages[at.stage]!
  const now: Position = value === undefined ? at : { ...at, value, inRow: value >= threshold ? at.inRow + 1 : 0 }
  const kind = now.inRow >= evaluations ? "passed" : rollout - at.since >= max_steps ? "given up" : undefined
  if (kind === undefined) return [now]
  const end: StageEnd = { rollout, stage: at.stage, kind, value: now.value }
  if (kind === "given up" && otherwise === "stop") return [{ ...now, over: "stopped" }, end]
  if (at.stage + 1 === stages.length) return [{ ...now, over: kind }, end]
  return [{ stage: at.stage + 1, since: rollout, inRow: 0, value: undefined }, end]
}

/** Names in metrics.jsonl. */
export const metricOf = (measure: Measure): string => `curriculum/${measure}`

/** A step's numbers, by their names in metrics.jsonl. */
export interface Row {
  readonly step: number
  readonly metrics: Readonly<Record<string, number>>
}

export interface Evaluation {
  readonly rollout: number
  /** Index. */
  readonly stage: number
  readonly value: number
}

export interface Followed {
  readonly position: Position
  readonly ends: ReadonlyArray<StageEnd>
  readonly evaluations: ReadonlyArray<Evaluation>
}

export const nothing: Followed = { position: start, ends: [], evaluations: [] }

/** One step further. Give it a run's steps in their order. */
export const follow = (stages: ReadonlyArray<Terms>) => ({ ends, evaluations, position }: Followed, { metrics, step }: Row): Followed => {
  const { stage } = position
  const value = isMeasured(stages, position, step) ? metrics[metricOf(stages[stage]!.measure)] : undefined
  const [next, end] = advance(stages, position, step, value)
  return {
    position: next,
    ends: end === undefined ? ends : [...ends, end],
    evaluations: value === undefined ? evaluations : [...evaluations, { rollout: step, stage, value }]
  }
}
