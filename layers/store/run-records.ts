/**
 * Reads what a run's database says about its health. Writes nothing; the run may still be running. A missing table or
 * column counts as empty: other versions have other tables.
 */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite"
import type { Effect } from "effect"
import type { FileProblem } from "../../src/system/files.ts"
import type { StoredReport } from "../../src/stages/RunState.ts"
import { readOnly, rowsOf } from "./read-only.ts"
import { decodeReports, storedReports } from "./run-state.ts"

export interface Fault {
  /** `rejected`, `killed`, `failed` (the judge gave no answer), `invalid` (both drawings), `stale`. */
  readonly kind: string
  readonly reason: string
  readonly count: number
  /** The text of one example. */
  readonly example: string | null
}

export interface LessonCounts {
  readonly trained: number
  readonly stale: number
  readonly waiting: number
}

export interface RunRecords {
  /** What SQLite finds wrong with the file; empty if nothing. */
  readonly damage: ReadonlyArray<string>
  readonly faults: ReadonlyArray<Fault>
  readonly costs: ReadonlyArray<{ readonly judge: string; readonly answers: number; readonly usd: number }>
  readonly drawings: number
  readonly pairs: number
  /** Lessons that training got or will get: pairs, or single drawings with an advantage. */
  readonly preferences: LessonCounts
  readonly advantages: LessonCounts
}

const faultQueries = [
  `SELECT lower(g.rendering) AS kind, g.reason, g.count, c.detail AS example
   FROM (SELECT rendering, reason, count(*) AS count, max(rowid) AS last FROM candidates WHERE rendering <> 'Rendered' GROUP BY 1, 2) g
   JOIN candidates c ON c.rowid = g.last ORDER BY g.count DESC, g.reason`,
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

const text = (value: SQLOutputValue | undefined): string | null => (value === null || value === undefined ? null : String(value))

/** What went wrong, by kind and reason. */
export const faultsOf = (db: DatabaseSync): ReadonlyArray<Fault> =>
  faultQueries.flatMap((sql) => rowsOf(db, sql)).map(({ count, example, kind, reason }) => ({
    kind: String(kind),
    reason: text(reason) ?? "unknown",
    count: Number(count),
    example: text(example)
  }))

/** Fails if the file is not a database, or is too damaged to count its rows. */
export const readRunRecords = (file: string): Effect.Effect<RunRecords, FileProblem> =>
  readOnly(file, (db) => {
    const rows = (sql: string) => rowsOf(db, sql)
    const damage = rows("PRAGMA quick_check(5)").map((row) => String(Object.values(row)[0])).filter((line) => line !== "ok")
    const count = (sql: string) => Number(rows(sql)[0]?.["n"] ?? 0)
    const lessons = (sql: string): LessonCounts => {
      const [row] = rows(sql)
      return { trained: Number(row?.["trained"] ?? 0), stale: Number(row?.["stale"] ?? 0), waiting: Number(row?.["waiting"] ?? 0) }
    }
    return {
      damage,
      faults: faultsOf(db),
      costs: rows(costs).map(({ answers, judge, usd }) => ({ judge: String(judge), answers: Number(answers), usd: Number(usd) })),
      drawings: count(counts.drawings),
      pairs: count(counts.pairs),
      preferences: lessons(preferences),
      advantages: lessons(advantages)
    }
  })

/** The reports of the steps done, in order. Fails as `readRunRecords` does. */
export const readReports = (file: string): Effect.Effect<ReadonlyArray<StoredReport>, FileProblem> =>
  readOnly(file, (db) => decodeReports(rowsOf(db, storedReports)))
