/**
 * Keeps a run from ending worse than it began. Each step is looked at before its version is published
 * (evaluation/divergence.ts); where the run has run away, the optimizer goes back to its last good state, with a quarter
 * of its learning rate, and the step's version gets that state's parameters. Versions only grow. Lessons drawn from the
 * versions between are not trained.
 *
 * A state is kept every five versions and is good once the next one is kept: what goes wrong shows within a few steps.
 * If the run runs away again before a newer state is good, that state was not good either, and the run goes back to its
 * start.
 */
import { Effect, Ref } from "effect"
import type { Rollout, StepReport } from "../domain.ts"
import {
  backTo,
  DivergenceWatch,
  metricOfSign,
  rateMetric,
  stoppedMetric,
  type WatchOptions
} from "../evaluation/divergence.ts"
import { Optimizer, OptimizerFailed, type LossNotFinite, type OptimizerState } from "../stages/Optimizer.ts"
import type { PolicySnapshot } from "../stages/Policy.ts"
import { drawingMetrics } from "./metrics.ts"

/** Versions between two states that are kept. */
const every = 5

/** What the learning rate is divided by. */
const slower = 4

export interface Stepped {
  readonly snapshot: PolicySnapshot
  readonly metrics: Record<string, number>
}

/** What a step is made with. */
export interface Guard {
  /** Whether what was drawn from this version is not trained. */
  readonly discarded: (version: number) => boolean
  /** @param work the optimizer's step on lessons of the rollout */
  readonly step: (rollout: Rollout, work: Effect.Effect<Stepped, OptimizerFailed | LossNotFinite>) => Effect.Effect<Stepped, OptimizerFailed>
}

/** Without one, a loss that is not finite ends the run. */
export const unguarded: Guard = {
  discarded: () => false,
  step: (_, work) => Effect.catchTag(work, "LossNotFinite", ({ message }) => Effect.fail(new OptimizerFailed({ message })))
}

/** States to go back to, the newer one first to be good. */
export interface Kept {
  readonly good?: OptimizerState | undefined
  readonly next?: OptimizerState | undefined
}

export interface StepBackOptions extends WatchOptions {
  /** `step-back`: at most `most` times, then stop. `stop`: at once. `tell`: go on. */
  readonly onDivergence: "step-back" | "stop" | "tell"
  /** The policy as the run began. */
  readonly start: PolicySnapshot
  /** Whether states are kept in memory, parameters and moments twice; if not, the run goes back to its start. */
  readonly keeps: boolean
  /** Of a resumed run: its steps so far, and the states that its checkpoint kept. */
  readonly reports: ReadonlyArray<StepReport>
  readonly kept?: Kept | undefined
}

/** How often a run may step back. */
const most = 3

/** Needs the run's optimizer. One that cannot `restore` is only watched. */
export const makeStepBack = Effect.fnUntraced(function*(o: StepBackOptions) {
  const optimizer = yield* Optimizer
  const watch = new DivergenceWatch(o)
  let backs = 0
  let rate = 1
  for (const report of o.reports) {
    const to = report.metrics[backTo]
    if (watch.see(report) === undefined) continue
    if (to === undefined) {
      watch.told()
      continue
    }
    watch.steppedBack(report, to)
    backs++
    rate = report.metrics[rateMetric] ?? rate
  }
  const kept = yield* Ref.make<Kept>(o.kept ?? {})

  const keep = Effect.fnUntraced(function*(version: number) {
    if (!o.keeps || version % every !== 0 || watch.uneasy) return
    const next = yield* optimizer.state
    yield* Ref.update(kept, (before): Kept => ({ good: before.next, next }))
  })

  const step: Guard["step"] = Effect.fnUntraced(function*(rollout, work) {
    const stepped = yield* work.pipe(
      Effect.catchTag("LossNotFinite", ({ message }) =>
        optimizer.restore === undefined || o.onDivergence === "tell" ? Effect.fail(new OptimizerFailed({ message })) : Effect.void)
    )
    const version = rollout.step + 1
    const own = { ...stepped?.metrics, ...(stepped === undefined ? { [metricOfSign("not_finite")]: 1 } : {}) }
    const report = { step: rollout.step, policyVersion: rollout.policyVersion, metrics: { ...own, ...rollout.courseMetrics, ...drawingMetrics(rollout.drawings) } }
    const sign = watch.see(report)
    if (sign === undefined) {
      yield* keep(version)
      return stepped!
    }
    const told = { ...own, [metricOfSign(sign)]: 1 }
    if (optimizer.restore === undefined || o.onDivergence === "tell") {
      watch.told()
      return { snapshot: stepped!.snapshot, metrics: told }
    }
    const stops = o.onDivergence === "stop" || backs >= most
    const { good } = yield* Ref.get(kept)
    const target = good === undefined || good.version === watch.wentBackTo ? { ...o.start, updates: 0, moments: new Map() } : good
    backs++
    if (!stops) rate /= slower
    yield* optimizer.restore({ ...target, version, rate })
    watch.steppedBack(report, target.version)
    yield* Ref.set(kept, target === good ? { good } : {})
    return {
      snapshot: { version, parameters: target.parameters },
      metrics: { ...told, [backTo]: target.version, [rateMetric]: rate, ...(stops ? { [stoppedMetric]: 1 } : {}) }
    }
  })
  return { guard: { discarded: watch.discarded, step } satisfies Guard as Guard, kept: Ref.get(kept) }
})
