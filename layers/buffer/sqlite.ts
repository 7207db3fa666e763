/** PreferenceBuffer in the run's database (layers/store/run-database.ts): a rollout is stored whole or not at all. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite"
import { Effect, Layer } from "effect"
import type { Lesson, Rollout } from "../../src/domain.ts"
import { admit, type StalenessOptions } from "../../src/lessons/staleness.ts"
import { BufferFailed, PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { lessonReader, rowsOf } from "../store/rollout-rows.ts"
import { RunDatabase, type RunDatabaseFailed, type RunDatabaseOptions } from "../store/run-database.ts"

const bufferFailed = <A>(work: Effect.Effect<A, RunDatabaseFailed>) =>
  Effect.mapError(work, ({ message }) => new BufferFailed({ message }))

/** Every error is a `BufferFailed`, and then the call has written nothing. */
export const layerIn = (options: StalenessOptions) =>
  Layer.effect(
    PreferenceBuffer,
    Effect.gen(function*() {
      const { transaction } = yield* RunDatabase
      return PreferenceBuffer.of({
        put: Effect.fn("PreferenceBuffer.put")((rollout: Rollout) => bufferFailed(transaction((db) => store(db, rollout)))),
        take: Effect.fn("PreferenceBuffer.take")((version: number, discarded?: (version: number) => boolean) =>
          bufferFailed(transaction((db) => take(db, version, options, discarded))))
      })
    })
  )

/** The same, with its own database. */
export const layer = (options: StalenessOptions & RunDatabaseOptions) =>
  layerIn(options).pipe(Layer.provide(RunDatabase.layer(options)))

const insert = (db: DatabaseSync, table: string, rows: ReadonlyArray<Readonly<Record<string, SQLInputValue>>>): void => {
  const columns = Object.keys(rows[0] ?? {})
  if (columns.length === 0) return
  const statement = db.prepare(`INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`)
  for (const row of rows) statement.run(...columns.map((column) => row[column]!))
}

/** Putting a rollout again replaces its first copy. */
const store = (db: DatabaseSync, rollout: Rollout): void => {
  db.prepare("DELETE FROM rollouts WHERE step = ?").run(rollout.step)
  for (const [table, rows] of Object.entries(rowsOf(rollout))) insert(db, table, rows)
}

const untrained = `
  SELECT id, step, prompt_id, candidate, rejected, signal, weight FROM lessons
  WHERE consumed_by_step IS NULL AND dropped_at_step IS NULL ORDER BY id`

const verdictBehind = `
  SELECT outcome, confidence, score_a, score_b, judged_by, reason, cost_usd FROM verdicts
  WHERE step = $step AND prompt_id = $prompt
    AND a = CASE outcome WHEN 'B' THEN $rejected ELSE $chosen END
    AND b = CASE outcome WHEN 'B' THEN $chosen ELSE $rejected END`

const take = (db: DatabaseSync, version: number, options: StalenessOptions, discarded?: (version: number) => boolean) => {
  const consume = db.prepare("UPDATE lessons SET consumed_by_step = ? WHERE id = ?")
  const drop = db.prepare("UPDATE lessons SET dropped_at_step = ? WHERE id = ?")
  const candidate = db.prepare("SELECT * FROM candidates WHERE step = ? AND prompt_id = ? AND idx = ?")
  const verdict = db.prepare(verdictBehind)
  const lessonOf = lessonReader({
    candidate: (step, promptId, index) => candidate.get(step, promptId, index),
    verdict: (step, promptId, chosen, rejected) => verdict.get({ $step: step, $prompt: promptId, $chosen: chosen, $rejected: rejected })
  })
  const lessons: Array<Lesson> = []
  let stale = 0
  for (const row of db.prepare(untrained).all()) {
    const admitted = admit(lessonOf(row), version, options, discarded)
    if (admitted === undefined) stale++
    else lessons.push(admitted)
    ;(admitted === undefined ? drop : consume).run(version, row["id"]!)
  }
  return { lessons, stale }
}
