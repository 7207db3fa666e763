/**
 * Reads the pairs that a run decided, as layers/buffer/sqlite.ts stored them. Writes nothing; the run may still be
 * running.
 */
import * as path from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { Effect, Schema } from "effect"
import { Verdict } from "../../src/domain.ts"
import type { FileProblem } from "../../src/system/files.ts"
import { needHere } from "./elsewhere.ts"
import { readOnly, type Row, rowsOf } from "./read-only.ts"

/** The advantage of one of a pair's drawings, if it has one. */
const advantage = (side: "a" | "b") =>
  `LEFT JOIN lessons l${side} ON l${side}.rejected IS NULL AND l${side}.step = v.step
    AND l${side}.prompt_id = v.prompt_id AND l${side}.candidate = v.${side}`

/**
 * One pair, its verdict and its lesson, as rows that `judge-pairs` reads, in the order of steps, prompts and positions.
 *
 * @param lessons whether the database has that table: older ones know preferences only
 */
const decided = (lessons: boolean) => `
  SELECT v.step, ca.policy_version, ca.prompt, ca.svg AS a_svg, cb.svg AS b_svg, v.a AS a_index, v.b AS b_index,
    lower(ca.rendering) AS a_outcome, ca.reason AS a_reason, ca.picture_hash AS a_picture,
    lower(cb.rendering) AS b_outcome, cb.reason AS b_reason, cb.picture_hash AS b_picture,
    v.judged_by AS "by", v.outcome AS verdict, v.confidence, v.score_a, v.score_b, v.reason, v.cost_usd,
    CASE p.chosen WHEN v.a THEN 'a' WHEN v.b THEN 'b' END AS chosen, p.label, p.weight,
    ${lessons ? "la.signal" : "NULL"} AS a_advantage, ${lessons ? "lb.signal" : "NULL"} AS b_advantage,
    p.consumed_by_step AS trained_at_step, p.dropped_at_step
  FROM verdicts v
  JOIN candidates ca ON ca.step = v.step AND ca.prompt_id = v.prompt_id AND ca.idx = v.a
  JOIN candidates cb ON cb.step = v.step AND cb.prompt_id = v.prompt_id AND cb.idx = v.b
  LEFT JOIN preferences p ON p.step = v.step AND p.prompt_id = v.prompt_id
    AND ((p.chosen = v.a AND p.rejected = v.b) OR (p.chosen = v.b AND p.rejected = v.a))
  ${lessons ? `${advantage("a")} ${advantage("b")}` : ""}
  ORDER BY v.step, v.prompt_id, v.a, v.b`

const hasLessons = (db: DatabaseSync): boolean =>
  db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'lessons'").get() !== undefined

/** All pairs, including those that the gate decided. */
export const readDecidedPairs = (file: string): Effect.Effect<ReadonlyArray<Row>, FileProblem> =>
  readOnly(file, (db) => rowsOf(db, decided(hasLessons(db))).map((row) => ({ ...row })))

const JudgedPair = Schema.Struct({
  step: Schema.Int,
  prompt: Schema.String,
  /** Positions among the candidates of the prompt. */
  a_index: Schema.Int,
  b_index: Schema.Int,
  a_svg: Schema.String,
  b_svg: Schema.String,
  by: Schema.String,
  verdict: Verdict.fields.outcome
})
const decode = Schema.decodeUnknownSync(Schema.Array(JudgedPair))

/**
 * All pairs that a judge decided: on the gate's pairs no judge could differ.
 * @param run a run folder
 */
export const readJudgedPairs = (run: string): Effect.Effect<ReadonlyArray<typeof JudgedPair.Type>, FileProblem> => {
  const file = path.join(run, "run.db")
  return Effect.andThen(needHere(run), readOnly(
    file,
    (db) => decode(db.prepare(decided(hasLessons(db))).all()).filter(({ by }) => by !== "gate"),
    (said) => `The judged pairs in ${file} cannot be read (${said}): give the folder of a training run.`
  ))
}
