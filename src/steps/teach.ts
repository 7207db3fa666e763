/** Verdicts become lessons. */
import type { JudgedStep, Rollout } from "../domain.ts"
import { nearTies } from "../lessons/near-ties.ts"
import { lessonsOf } from "../lessons/teach.ts"
import type { PipelineConfig } from "./config.ts"

/** Every label and every advantage of a run is made here, from the verdicts of one step. */
export const teach = (config: PipelineConfig) => (step: JudgedStep): Rollout => ({
  ...step,
  lessons: lessonsOf(config, [...Map.groupBy(nearTies(config.nearTies ?? 0, step.pairs), ({ a }) => a.prompt.id).values()])
})
