import { Effect, Schema } from "effect"
import { Evaluated } from "../evaluation/measures.ts"
import { judgedObjectives, lossTypeText, objectiveOf } from "../objectives/objectives.ts"
import { FileProblem, readText } from "../system/files.ts"

/** summary.json. */
export const Summary = Schema.Struct({
  /** The objective of the run: a row of the table of objectives, or those that were added up. */
  objective: Schema.Union([Schema.Literals(judgedObjectives), Schema.Array(Schema.Literals(judgedObjectives))]),
  steps: Schema.Int,
  /** Preference pairs trained; 0 where the objective learns from advantages. */
  pairs: Schema.Int,
  /** Advantages trained, each of one drawing; 0 where the objective learns from pairs. */
  advantages: Schema.Int,
  /** Wall clock, evaluation included. */
  seconds: Schema.Finite,
  ...Evaluated.fields,
  costUsd: Schema.Finite,
  /** Counts of everything that went wrong without ending the run. */
  faults: Schema.Record(Schema.String, Schema.Finite),
  /** What a person should look into, with the step at which it was seen. */
  alarms: Schema.Array(Schema.Struct({ step: Schema.Int, message: Schema.String })),
  /** Why training ended before its last step, and which adapter was kept: the run had diverged. */
  stopped: Schema.optionalKey(Schema.String)
})
export type Summary = typeof Summary.Type

const decode = Schema.decodeEffect(Schema.fromJsonString(Summary))

/** Reads a run's summary.json. */
export const readSummary = Effect.fn("readSummary")(function*(file: string) {
  const text = yield* readText(file)
  return yield* decode(text).pipe(Effect.mapError(() =>
    new FileProblem({ message: `${file} holds no summary as this version writes it: it is damaged, or of another version.` })
  ))
})

/** A run and what it learned from, in words for people: "Online DPO" from 9000 things, each a "preference pair". */
export const learned = ({ advantages, objective, pairs }: Pick<Summary, "objective" | "pairs" | "advantages">) => {
  const { learnsFrom, source, title } = objectiveOf({ lossType: objective })
  const name = lossTypeText(objective)
  return learnsFrom === "advantages"
    ? { name, title, source, lessons: advantages, lesson: "judged drawing" }
    : { name, title, source, lessons: pairs, lesson: "preference pair" }
}
