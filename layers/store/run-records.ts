/**
 * What a run's database says about its health, and its judged pairs whole, as layers/buffer/sqlite.ts stored them. Only reads;
 * the run may still be going on. A table or column that is not there counts as empty: other versions have others.
 */
import { DatabaseSync, type SQLOutputValue } from "node:sqlite"
import { Effect } from "effect"
import { FileProblem } from "../../src/system/files.ts"
import type { StoredReport } from "../../src/stages/RunState.ts"
import { decodeReports, storedReports } from "./run-state.ts"

export interface Fault {
  /** `rejected`, `killed`, `failed` (the judge gave no answer), `invalid` (both drawings), `stale`. */
  readonly kind: string
  readonly reason: string
  readonly count: number
  /** What was said of one of them. */
  readonly example: string | null
}

export interface LessonCounts {
  readonly trained: number
  readonly stale: number
  readonly waiting: number
}

export interface RunRecords {
  /** What SQLite finds wrong with the file; empty when nothing. */
  readonly damage: ReadonlyArray<string>
  readonly faults: ReadonlyArray<Fault>
  readonly costs: ReadonlyArray<{ readonly judge: string; readonly answers: number; readonly usd: number }>
  readonly drawings: number
  readonly pairs: number
  /** What training was or will be given: pairs, or single drawings with an advantage. */
  readonly preferences: LessonCounts
  readonly advantages: LessonCounts
}

const faults = [
  `SELECT lower(rendering) AS kind, reason, count(*) AS count, max(detail) AS example FROM candidates
   WHERE rendering <> 'Rendered' GROUP BY 1, 2 ORDER BY count DESC, reason`,
  `SELECT 'failed' AS kind, judged_by AS reason, count(*) AS count, max(reason) AS example FROM verdicts
   WHERE outcome = 'failed' GROUP BY judged_by`,
  `SELECT 'invalid' AS kind, 'both drawings' AS reason, count(*) AS count, NULL AS example FROM verdicts
   WHERE outcome = 'invalid' HAVING count(*) > 0`,
  `SELECT 'stale' AS kind, 'drawn too many versions ago' AS reason, count(*) AS count, NULL AS example FROM preferences
   WHERE dropped_at_step IS NOT NULL HAVING count(*) > 0`,
  `SELECT 'stale' AS kind, 'drawn too many versions ago' AS reason, count(*) AS count, NULL AS example FROM lessons
   WHERE rejected IS NULL AND dropped_at_step IS NOT NULL HAVING count(*) > 0`
]
const costs = `SELECT judged_by AS judge, sum(answers) AS answers, sum(usd) AS usd FROM costs GROUP BY judged_by ORDER BY judged_by`
const counts = {
  drawings: "SELECT count(*) AS n FROM candidates",
  pairs: "SELECT count(*) AS n FROM verdicts"
}
const lessonCounts = (lessons: string) =>
  `SELECT count(consumed_by_step) AS trained, count(dropped_at_step) AS stale,
     count(*) FILTER (WHERE consumed_by_step IS NULL AND dropped_at_step IS NULL) AS waiting FROM ${lessons}`
/** Databases from before advantages have a table of preferences; later ones have a view of that name. */
const preferences = lessonCounts("preferences")
const advantages = lessonCounts("lessons WHERE rejected IS NULL")

type Row = Readonly<Record<string, SQLOutputValue>>
const text = (value: SQLOutputValue | undefined): string | null => (value === null || value === undefined ? null : String(value))

const reading = <A>(file: string, work: (rows: (sql: string) => ReadonlyArray<Row>, db: DatabaseSync) => A) =>
  Effect.try({
    try: () => {
      const db = new DatabaseSync(file, { readOnly: true, timeout: 2000 })
      try {
        return work((sql) => {
          try {
            return db.prepare(sql).all()
          } catch (cause) {
            if (/^no such (table|column)/.test((cause as Error).message)) return []
            throw cause
          }
        }, db)
      } finally {
        db.close()
      }
    },
    catch: (cause) => new FileProblem({ message: `${file} cannot be read: ${(cause as Error).message}.` })
  })

/** Fails where the file is no database at all, or is too damaged to be counted. */
export const readRunRecords = (file: string): Effect.Effect<RunRecords, FileProblem> =>
  reading(file, (rows) => {
    const damage = rows("PRAGMA quick_check(5)").map((row) => String(Object.values(row)[0])).filter((line) => line !== "ok")
    const count = (sql: string) => Number(rows(sql)[0]?.["n"] ?? 0)
    const lessons = (sql: string): LessonCounts => {
      const [row] = rows(sql)
      return { trained: Number(row?.["trained"] ?? 0), stale: Number(row?.["stale"] ?? 0), waiting: Number(row?.["waiting"] ?? 0) }
    }
    return {
      damage,
      faults: faults.flatMap(rows).map(({ count, example, kind, reason }) => ({
        kind: String(kind),
        reason: text(reason) ?? "unknown",
        count: Number(count),
        example: text(example)
      })),
      costs: rows(costs).map(({ answers, judge, usd }) => ({ judge: String(judge), answers: Number(answers), usd: Number(usd) })),
      drawings: count(counts.drawings),
      pairs: count(counts.pairs),
      preferences: lessons(preferences),
      advantages: lessons(advantages)
    }
  })

/** The reports of the steps that were made, in their order. Fails as `readRunRecords` does. */
export const readReports = (file: string): Effect.Effect<ReadonlyArray<StoredReport>, FileProblem> =>
  reading(file, (rows) => decodeReports(rows(storedReports)))

const advantageOf = (side: "a" | "b") =>
  `(SELECT signal FROM lessons l WHERE l.rejected IS NULL AND l.step = v.step AND l.prompt_id = v.prompt_id AND l.candidate = v.${side})`

/** One judged pair and what became of it: `judge-pairs` reads such rows. @param lessons whether the database has that table */
const judged = (lessons: boolean) => `
  SELECT v.step, ca.policy_version, ca.prompt, ca.svg AS a_svg, cb.svg AS b_svg, v.a AS a_index, v.b AS b_index,
    lower(ca.rendering) AS a_outcome, ca.reason AS a_reason, ca.picture_hash AS a_picture,
    lower(cb.rendering) AS b_outcome, cb.reason AS b_reason, cb.picture_hash AS b_picture,
    v.judged_by AS "by", v.outcome AS verdict, v.confidence, v.score_a, v.score_b, v.reason, v.cost_usd,
    CASE p.chosen WHEN v.a THEN 'a' WHEN v.b THEN 'b' END AS chosen, p.label, p.weight,
    ${lessons ? advantageOf("a") : "NULL"} AS a_advantage, ${lessons ? advantageOf("b") : "NULL"} AS b_advantage,
    p.consumed_by_step AS trained_at_step, p.dropped_at_step
  FROM verdicts v
  JOIN candidates ca ON ca.step = v.step AND ca.prompt_id = v.prompt_id AND ca.idx = v.a
  JOIN candidates cb ON cb.step = v.step AND cb.prompt_id = v.prompt_id AND cb.idx = v.b
  LEFT JOIN preferences p ON p.step = v.step AND p.prompt_id = v.prompt_id
    AND ((p.chosen = v.a AND p.rejected = v.b) OR (p.chosen = v.b AND p.rejected = v.a))
  ORDER BY v.step, v.prompt_id, v.a, v.b`

/** All judged pairs, those that the gate decided included, in the order of steps, prompts and positions. */
export const readJudgedPairs = (file: string): Effect.Effect<ReadonlyArray<Row>, FileProblem> =>
  reading(file, (rows) => rows(judged(rows("SELECT 1 FROM sqlite_master WHERE name = 'lessons'").length > 0)).map((row) => ({ ...row })))
