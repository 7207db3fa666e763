import type { Alarm } from "../domain.ts"
import type { WinRate } from "../evaluation/held-out.ts"
import { type ObjectiveName, objectiveOf } from "../objectives/objectives.ts"

/** summary.json. */
export interface Summary {
  /** The objective of the run: a row of the table of objectives. */
  readonly objective: ObjectiveName
  readonly steps: number
  /** Preference pairs trained; 0 where the objective learns from advantages. */
  readonly pairs: number
  /** Advantages trained, each of one drawing; 0 where the objective learns from pairs. */
  readonly advantages: number
  /** Wall clock, evaluation included. */
  readonly seconds: number
  readonly winRate: WinRate
  /** The win rates of the same drawings by the other scorers. */
  readonly otherWinRates: ReadonlyArray<WinRate>
  readonly validity: { readonly before: number; readonly after: number }
  readonly diversity: { readonly before: number; readonly after: number }
  /** Tokens a held-out drawing. */
  readonly length: { readonly before: number; readonly after: number }
  readonly costUsd: number
  /** Counts of everything that went wrong without ending the run. */
  readonly faults: Readonly<Record<string, number>>
  /** What a person should look into, with the step at which it was seen. */
  readonly alarms: ReadonlyArray<Alarm>
}

/** A run and what it learned from, in words for people: "Online DPO" from 9000 things, each a "preference pair". */
export const learned = ({ advantages, objective, pairs }: Pick<Summary, "objective" | "pairs" | "advantages">) => {
  const { learnsFrom, source, title } = objectiveOf({ lossType: objective })
  return learnsFrom === "advantages"
    ? { title, source, lessons: advantages, lesson: "judged drawing" }
    : { title, source, lessons: pairs, lesson: "preference pair" }
}
