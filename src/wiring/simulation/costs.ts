/** What the stages of a run took, from its folder. */
import { Effect, Option, Schema } from "effect"
import { defaults as resvg } from "../../../layers/renderer/resvg.ts"
import { median } from "../../evaluation/statistics.ts"
import type { PipelineConfig } from "../../pipeline.ts"
import { BadInput } from "../../system/errors.ts"
import { readText } from "../../system/files.ts"
import { judges } from "../judges/judges.ts"
import { pipelineOf } from "../run/pipeline-settings.ts"
import { openBegun, resumedConfig } from "../run/resume.ts"
import type { Costs } from "./simulate.ts"

export interface MeasuredCosts {
  readonly costs: Costs
  readonly settings: PipelineConfig
  /** Steps that were measured: the first ones open sessions, and are left out. */
  readonly steps: number
  /** US dollars of an answer; 0 of a free judge. */
  readonly usdAJudgment: number
  /** Whether the judge computes on the run's machine. */
  readonly judgeLocal: boolean
  /** Whether stages worked at the same time, so that each may have waited for cores. */
  readonly overlapped: boolean
}

/** Share of a run's steps that are left out at its beginning. */
const warming = 0.1

const decodeStep = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))
const numberIn = (step: Readonly<Record<string, unknown>>, name: string): number => {
  const value = step[name]
  return typeof value === "number" && Number.isFinite(value) ? value : 0
}

/**
 * Medians over the run's steps. Seconds of a judge elsewhere are those of one answer where `judgments` were under way.
 *
 * @param judgments answers that were under way at the same time, >= 1
 */
export const measuredCosts = Effect.fn("measuredCosts")(function*(folder: string, judgments: number) {
  const begun = yield* openBegun(folder)
  const config = yield* resumedConfig(begun, undefined, {})
  const lines = (yield* readText(begun.run.file("metrics.jsonl"))).trimEnd().split("\n")
  const steps = lines.flatMap((line) => Option.toArray(decodeStep(line)))
  const warm = steps.slice(Math.ceil(warming * steps.length))
  if (warm.length < 5) {
    return yield* new BadInput({ message: `${folder} has ${steps.length} whole steps, which is too few to measure: let it train for 10 or more.` })
  }
  const settings = pipelineOf(config)
  const drawings = config.prompts_per_step * config.num_generations
  const judgeLocal = !Object.hasOwn(judges, config.judge) || judges[config.judge]!.asks === undefined
  const each = (seconds: string, per: (step: (typeof warm)[number]) => number) =>
    median(warm.flatMap((step) => (per(step) > 0 ? [numberIn(step, seconds) / per(step)] : []))) ?? 0
  const asked = (step: (typeof warm)[number]) => numberIn(step, "judge/asked")
  const total = (name: string) => warm.reduce((sum, step) => sum + numberIn(step, name), 0)
  return {
    costs: {
      sample: { fixed: 0, each: each("seconds/sample", () => drawings) },
      render: each("seconds/render", () => drawings / resvg.processes),
      judge: each("seconds/judge", (step) => asked(step) / (judgeLocal ? 1 : judgments)),
      train: each("seconds/train", (step) => numberIn(step, "pairs/trained") + numberIn(step, "advantages/trained"))
    },
    settings: { ...settings, renderConcurrency: resvg.processes },
    steps: warm.length,
    usdAJudgment: total("judge/asked") === 0 ? 0 : total("judge/cost_usd") / total("judge/asked"),
    judgeLocal,
    overlapped: config.max_staleness > 0
  } satisfies MeasuredCosts as MeasuredCosts
})
