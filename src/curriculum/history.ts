/** What became of each stage, from what a run folder holds: config.json and metrics.jsonl. */
import { Option, Schema } from "effect"
import { follow, nothing, type Row, StoredStage } from "./stages.ts"

export interface StageHistory {
  readonly terms: StoredStage
  /** Its first step, from 0; null if it has not begun. */
  readonly from: number | null
  /** The first step after it; null while it goes on. */
  readonly to: number | null
  /** What was measured, before these steps. */
  readonly evaluations: ReadonlyArray<{ readonly step: number; readonly value: number }>
  readonly outcome: "passed" | "given up" | "ended the run" | "under way" | "not begun"
}

const decode = Schema.decodeUnknownOption(Schema.Array(StoredStage))

/**
 * Empty if the run has no curriculum.
 *
 * @param config of config.json
 * @param rows the run's steps, in their order
 * @param finished whether the run has come to its end
 */
export const stageHistory = (config: Readonly<Record<string, unknown>>, rows: ReadonlyArray<Row>, finished: boolean): ReadonlyArray<StageHistory> => {
  const stages = Option.getOrElse(decode(config["curriculum_stages"]), () => [])
  if (stages.length === 0) return []
  const { ends, evaluations, position } = rows.reduce(follow(stages), nothing)
  const steps = (rows.at(-1)?.step ?? -1) + 1
  return stages.map((terms, stage): StageHistory => {
    const end = ends.find((each) => each.stage === stage)
    const from = stage === 0 ? 0 : ends[stage - 1]?.rollout ?? null
    const { max_steps = Infinity, otherwise } = terms
    // The stage that ends a run has no step that would report it.
    const ended = finished && otherwise === "stop" && position.over === undefined && steps - position.since >= max_steps
    return {
      terms,
      from,
      to: end?.rollout ?? null,
      evaluations: evaluations.filter((each) => each.stage === stage).map(({ rollout, value }) => ({ step: rollout, value })),
      outcome: end?.kind ?? (from === null ? "not begun" : ended ? "ended the run" : "under way")
    }
  })
}

/** What is asked of a stage, in a few words: `right at least 0.6, twice in a row`. */
export const askedOf = ({ evaluations, measure, threshold }: StoredStage): string =>
  `${measure} at least ${threshold}${evaluations === 1 ? "" : evaluations === 2 ? ", twice in a row" : `, ${evaluations} times in a row`}`

/** What became of a stage, in a few words. In a run that has ended, a stage under way never got there. */
export const outcomeOf = ({ outcome, to }: StageHistory, finished: boolean): string => {
  switch (outcome) {
    case "passed":
      return `passed before step ${to! + 1}`
    case "given up":
      return `given up before step ${to! + 1}: it never got there`
    case "ended the run":
      return "never got there, and so ended the run"
    case "under way":
      return finished ? "not passed before the run ended" : "not passed so far"
    case "not begun":
      return "not begun"
  }
}
