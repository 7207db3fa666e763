/**
 * A curriculum as the course of a run: before a rollout is drawn, its stage may be measured, on the policy version that
 * the rollout is drawn from, and the prompts may widen.
 */
import { Effect, Ref } from "effect"
import { type Alarm, type Prompt, stageMetric } from "../domain.ts"
import { Policy } from "../stages/Policy.ts"
import type { Scorer } from "../stages/Scorer.ts"
import type { Course } from "../steps/batches.ts"
import type { PipelineConfig } from "../steps/config.ts"
import { measureStage } from "./measure.ts"
import { promptsAt } from "./mix.ts"
import { advance, follow, type Followed, isMeasured, metricOf, nothing, type Row, type StageEnd, type Terms } from "./stages.ts"
import { saidAtTheEnd, saidOf } from "./words.ts"

/** One stage of a curriculum. */
export interface Stage extends Terms {
  /** Prompts that are trained; none of them is held out in any stage. */
  readonly prompts: ReadonlyArray<Prompt>
  /** Prompts on which the stage is measured; never trained. */
  readonly heldOut: ReadonlyArray<Prompt>
}

export interface CourseOptions {
  /** At least one. */
  readonly stages: ReadonlyArray<Stage>
  readonly config: PipelineConfig
  readonly scorers: ReadonlyArray<Scorer>
  /** The reports of all steps before `config.firstStep`, in their order. */
  readonly past: ReadonlyArray<Row>
}

/** Something that a person is told of a curriculum. */
export interface Told extends Alarm {
  /** A stage that never got there is an alarm; one that is passed is not. */
  readonly alarming: boolean
}

/** The ends of stages in some steps that follow these. */
const toldOf = (stages: ReadonlyArray<Terms>, before: Followed, now: Followed): ReadonlyArray<Told> =>
  now.ends.slice(before.ends.length).map((end) => ({ step: end.rollout, message: saidOf(stages, end), alarming: end.kind !== "passed" }))

/** What it decides is in the reports: the position of a resumed run follows from those of its past. */
export const makeCourse = Effect.fnUntraced(function*({ config, past, scorers, stages }: CourseOptions) {
  const known = past.reduce(follow(stages), nothing)
  const reported = yield* Ref.make(known)
  const position = yield* Ref.make(known.position)
  const ended = yield* Ref.make<StageEnd | undefined>(undefined)
  const rollout = Effect.fnUntraced(function*(step: number, version: number) {
    const before = yield* Ref.get(position)
    const { drawings, heldOut, measure } = stages[before.stage]!
    const value = !isMeasured(stages, before, step) ? undefined : yield* measureStage({
      measure,
      prompts: heldOut,
      drawings,
      scorers,
      seed: config.seed,
      rollout: step,
      policy: yield* (yield* Policy).at(version),
      promptsPerBatch: config.promptsPerBatch
    })
    const [now, end] = advance(stages, before, step, value)
    yield* Ref.set(position, now)
    if (now.over === "stopped") {
      yield* Ref.set(ended, end)
      return undefined
    }
    return {
      prompts: promptsAt(stages, now, step, config),
      courseMetrics: { [stageMetric]: now.stage + 1, ...(value === undefined ? {} : { [metricOf(measure)]: value }) }
    }
  })
  return {
    course: { rollout } satisfies Course as Course,
    /** What there was to tell in the past. */
    toldBefore: toldOf(stages, nothing, known),
    /** What there is to tell after this step. Give it each step that is reported, in their order. */
    told: (row: Row) =>
      Ref.modify(reported, (before) => {
        const now = follow(stages)(before, row)
        return [toldOf(stages, before, now), now] as const
      }),
    /** What there is to tell when the last step is reported: the stage in which the run ends, if it never got there. */
    toldAtTheEnd: Effect.gen(function*() {
      const end = yield* Ref.get(ended) // it has no step that reports it
      const last = (yield* Ref.get(reported)).position
      const steps = end?.rollout ?? config.steps
      const message = end === undefined ? saidAtTheEnd(stages, last, steps) : saidOf(stages, end)
      return message === undefined ? [] : [{ step: steps - 1, message, alarming: true }] satisfies ReadonlyArray<Told>
    })
  }
})
