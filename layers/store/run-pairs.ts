/** The pairs that a run's judge decided, as layers/buffer/sqlite.ts stored them. */
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Effect, Schema } from "effect"
import { Verdict } from "../../src/domain.ts"
import { FileProblem } from "../../src/system/files.ts"

const RunPair = Schema.Struct({
  step: Schema.Int,
  prompt: Schema.String,
  /** Positions among the candidates of the prompt. */
  a: Schema.Int,
  b: Schema.Int,
  svg_a: Schema.String,
  svg_b: Schema.String,
  outcome: Verdict.fields.outcome,
  judged_by: Schema.String
})
export type RunPair = typeof RunPair.Type
const decode = Schema.decodeUnknownSync(Schema.Array(RunPair))

/** What the gate decided is left out: no judge could differ. */
const judged = `
  SELECT v.step, ca.prompt, v.a, v.b, ca.svg AS svg_a, cb.svg AS svg_b, v.outcome, v.judged_by FROM verdicts v
  JOIN candidates ca ON ca.step = v.step AND ca.prompt_id = v.prompt_id AND ca.idx = v.a
  JOIN candidates cb ON cb.step = v.step AND cb.prompt_id = v.prompt_id AND cb.idx = v.b
  WHERE v.judged_by <> 'gate' ORDER BY v.step, v.prompt_id, v.a, v.b`

/** In the order of steps, prompts and positions. @param run a run folder; the run may still be going on */
export const readRunPairs = (run: string): Effect.Effect<ReadonlyArray<RunPair>, FileProblem> =>
  Effect.try({
    try: () => {
      const db = new DatabaseSync(path.join(run, "run.db"), { readOnly: true, timeout: 2000 })
      try {
        return decode(db.prepare(judged).all())
      } finally {
        db.close()
      }
    },
    catch: (cause) =>
      new FileProblem({
        message: `The judged pairs in ${path.join(run, "run.db")} cannot be read (${(cause as Error).message}): give the folder of a training run.`
      })
  })
