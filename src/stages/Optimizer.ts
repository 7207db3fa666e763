/** Moves the policy in the direction of its lessons. Owns the trainable parameters and the optimizer state. */
import { Context, type Effect, Schema } from "effect"
import type { Lesson } from "../domain.ts"
import type { Parameters } from "../engine/weights/tensor.ts"
import type { PolicySnapshot } from "./Policy.ts"

/** The update could not be made: the runtime failed, or the loss is not finite. The parameters are as they were. */
export class OptimizerFailed extends Schema.TaggedError<OptimizerFailed>()("OptimizerFailed", {
  message: Schema.String
}) {}

/** All that a resumed run needs to continue bit for bit. */
export interface OptimizerState {
  readonly version: number
  /** Updates AdamW has made. A step without a lesson adds to the version only. */
  readonly updates: number
  readonly parameters: Parameters
  /** First and second moments of AdamW, by `exp_avg.<name>` and `exp_avg_sq.<name>`. */
  readonly moments: Parameters
}

export class Optimizer extends Context.Service<Optimizer, {
  readonly name: string
  /**
   * One optimizer step on these lessons: version v becomes v + 1. Without lessons the parameters stay as they are, but
   * the version still counts. Metrics under TRL's names: `loss`, `rewards/*`, `logps/*`, `grad_norm`, `learning_rate`,
   * ...
   */
  readonly step: (
    lessons: ReadonlyArray<Lesson>
  ) => Effect.Effect<{ readonly snapshot: PolicySnapshot; readonly metrics: Record<string, number> }, OptimizerFailed>
  readonly state: Effect.Effect<OptimizerState, OptimizerFailed>
}>()("vequinox/Optimizer") {}
