/** Moves the policy in the direction of its lessons. Owns the trainable parameters and the optimizer state. */
import { Context, type Effect, Schema } from "effect"
import type { Lesson } from "../domain.ts"
import type { Parameters } from "../engine/weights/tensor.ts"
import type { PolicySnapshot } from "./Policy.ts"

/** The update could not be made: the runtime failed. The parameters are as they were. */
export class OptimizerFailed extends Schema.TaggedError<OptimizerFailed>()("OptimizerFailed", {
  message: Schema.String
}) {}

/** The loss or its gradient is not a finite number. The parameters, and the version, are as they were. */
export class LossNotFinite extends Schema.TaggedError<LossNotFinite>()("LossNotFinite", {
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
  /** The reference's parameters where they move; undefined: those that training began with. */
  readonly reference?: Parameters | undefined
  /** The learning rate is multiplied with it, (0, 1]; default 1. */
  readonly rate?: number | undefined
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
  ) => Effect.Effect<{ readonly snapshot: PolicySnapshot; readonly metrics: Record<string, number> }, OptimizerFailed | LossNotFinite>
  readonly state: Effect.Effect<OptimizerState, OptimizerFailed>
  /**
   * Continues from this state, its version included, as a new optimizer made from it would. One that cannot do it leaves
   * this out; a run that diverges then goes on, and says so.
   */
  readonly restore?: (state: OptimizerState) => Effect.Effect<void, OptimizerFailed>
}>()("vequinox/Optimizer") {}
