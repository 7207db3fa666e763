/** Says which of two drawings is better. A judge gets pixels and the prompt, never the SVG's text (invariant 2). */
import { Context, type Effect, Schema } from "effect"
import type { Picture, Prompt, Verdict } from "../domain.ts"

/** The judge was too slow or asked us to back off. Worth retrying. */
export class JudgeBusy extends Schema.TaggedError<JudgeBusy>()("JudgeBusy", {
  message: Schema.String,
  /**
   * How long the judge asked us to wait; 0 if only an answer was lost. If absent, the pipeline waits longer each time.
   */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}) {}

/** The answer is not a verdict. Asking again does not help; the pair is skipped. */
export class JudgeRefused extends Schema.TaggedError<JudgeRefused>()("JudgeRefused", {
  message: Schema.String,
  /** What the unusable answer cost, US dollars. */
  costUsd: Schema.optionalKey(Schema.Finite)
}) {}

/** No further pair can be judged (no credit, no permission, budget spent). The run stops and can be resumed. */
export class JudgeStopped extends Schema.TaggedError<JudgeStopped>()("JudgeStopped", {
  message: Schema.String
}) {}

export type JudgeError = JudgeBusy | JudgeRefused | JudgeStopped

export class Judge extends Context.Service<Judge, {
  /** Short, stable: part of what a run's config.json records. */
  readonly name: string
  /** Model, rubric version, thresholds: a judgment is reused only under the same identity. */
  readonly identity: string
  /** Pairs that may be asked at the same time. */
  readonly concurrency: number
  /** Whether an answer takes no money and nobody's time. Only such a judge is asked more than training needs. */
  readonly free?: boolean
  /** A or B or tie. `A` names the first picture. Swapping the pictures swaps A and B. */
  readonly compare: (prompt: Prompt, a: Picture, b: Picture) => Effect.Effect<Verdict, JudgeError>
  /**
   * For a judge that sees all drawings of a prompt at once: its verdicts on all pairs i < j, in this order. A judge
   * without it is asked about each pair.
   */
  readonly compareAll?: (
    prompt: Prompt,
    pictures: ReadonlyArray<Picture>
  ) => Effect.Effect<ReadonlyArray<Verdict>, JudgeError>
}>()("vequinox/Judge") {}
