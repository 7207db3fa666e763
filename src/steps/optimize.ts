/** The boxes PreferenceBuffer and Optimizer: what a step learns, and the policy version that results. */
import { Effect } from "effect"
import type { Rollout } from "../domain.ts"
import { Optimizer } from "../stages/Optimizer.ts"
import { Policy } from "../stages/Policy.ts"
import { PreferenceBuffer } from "../stages/PreferenceBuffer.ts"
import { seconds } from "./seconds.ts"
import { type Guard, unguarded } from "./step-back.ts"

/** Stores the rollout, takes the lessons that may be trained at this step, trains them and publishes the next version. */
export const optimize = Effect.fn("pipeline.optimize")(function*(rollout: Rollout, guard: Guard = unguarded) {
  yield* Effect.annotateCurrentSpan({ step: rollout.step })
  const buffer = yield* PreferenceBuffer
  yield* buffer.put(rollout)
  const taken = yield* buffer.take(rollout.step, guard.discarded)
  const [{ metrics, snapshot }, trainSeconds] = yield* seconds("train", guard.step(rollout, (yield* Optimizer).step(taken.lessons)))
  yield* (yield* Policy).publish(snapshot)
  return { rollout, taken, metrics, trainSeconds }
})

export type Optimized = Effect.Success<ReturnType<typeof optimize>>
