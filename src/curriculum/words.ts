/** What happens in a curriculum, in sentences for people. */
import type { Position, StageEnd, Terms } from "./stages.ts"

const named = (stages: ReadonlyArray<Terms>, stage: number): string => `Stage ${stage + 1} of ${stages.length} ("${stages[stage]!.name}")`

/** As in "right is 0.41, and 0.75 was asked for in 2 evaluations in a row". */
const measured = ({ evaluations, measure, threshold }: Terms, value: number | undefined): string =>
  `${value === undefined ? `${measure} was never measured` : `${measure} is ${value.toFixed(2)}`}, and ${threshold} was asked for in ${
    evaluations === 1 ? "one evaluation" : `${evaluations} evaluations in a row`
  }`

export const saidOf = (stages: ReadonlyArray<Terms>, { kind, stage, value }: StageEnd): string => {
  const terms = stages[stage]!
  const next = stages[stage + 1]
  const stops = kind === "given up" && terms.otherwise === "stop"
  const then = stops
    ? "The run ends here."
    : next === undefined
    ? "It was the last stage: its prompts stay."
    : `The prompts widen to "${next.name}"${kind === "passed" ? "" : " anyway"}.`
  const what = kind === "passed" ? "is passed" : `never got there in ${terms.max_steps} steps`
  return `${named(stages, stage)} ${what}: ${measured(terms, value)}. ${then}`
}

/** What a run that made all its steps must say of the stage it ended in; undefined if that was passed or given up. */
export const saidAtTheEnd = (stages: ReadonlyArray<Terms>, { over, since, stage, value }: Position, steps: number): string | undefined =>
  over !== undefined
    ? undefined
    : `${named(stages, stage)} was not passed before the run ended, after ${steps - since} steps of it: ${measured(stages[stage]!, value)}.`
