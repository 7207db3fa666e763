/**
 * PreferenceBuffer in Postgres (layers/postgres): any number of processes put, and each lesson is handed to one of those that
 * take, once.
 */
import { Effect, Layer } from "effect"
import type { Lesson, Rollout } from "../../src/domain.ts"
import { admit, type StalenessOptions } from "../../src/lessons/staleness.ts"
import { BufferFailed, PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import type { PostgresFailed } from "../postgres/db.ts"
import { Postgres, type PostgresOptions } from "../postgres/postgres.ts"
import { type RunDb, RunPostgres, type RunPostgresOptions } from "../postgres/run-postgres.ts"
import { lessonReader, rowsOf } from "../store/rollout-rows.ts"

const bufferFailed = <A>(work: Effect.Effect<A, PostgresFailed>) => Effect.mapError(work, ({ message }) => new BufferFailed({ message }))

/** Every error is a `BufferFailed`, and then the call has written nothing. */
export const layerIn = (options: StalenessOptions) =>
  Layer.effect(
    PreferenceBuffer,
    Effect.gen(function*() {
      const { transaction } = yield* RunPostgres
      return PreferenceBuffer.of({
        put: Effect.fn("PreferenceBuffer.put")((rollout: Rollout) => bufferFailed(transaction((db) => store(db, rollout)))),
        take: Effect.fn("PreferenceBuffer.take")((version: number, discarded?: (version: number) => boolean) =>
          bufferFailed(transaction((db) => take(db, version, options, discarded))))
      })
    })
  )

/** The same, with its own connections. Fails with `PostgresFailed`. */
export const layer = (options: StalenessOptions & PostgresOptions & RunPostgresOptions) =>
  layerIn(options).pipe(Layer.provide(RunPostgres.layer(options)), Layer.provide(Postgres.layer(options)))

/** The same, with the address from DATABASE_URL. */
export const layerConfig = (options: StalenessOptions & Omit<PostgresOptions, "url"> & RunPostgresOptions) =>
  layerIn(options).pipe(Layer.provide(RunPostgres.layer(options)), Layer.provide(Postgres.layerConfig(options)))

/**
 * Putting a rollout again replaces its first copy, unless a lesson of that was handed out already: then the first copy
 * stays, so nothing is trained twice.
 */
const store = Effect.fnUntraced(function*({ insert, rows, run }: RunDb, rollout: Rollout) {
  const tables = rowsOf(rollout)
  const at = [run, rollout.step]
  const [made] = yield* rows(
    "INSERT INTO rollouts VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1 AS made",
    [...at, ...Object.values(tables.rollouts[0]!).slice(1)]
  )
  if (made === undefined) {
    yield* rows("SELECT 1 AS one FROM rollouts WHERE run = $1 AND step = $2 FOR UPDATE", at) // whoever puts the same waits here
    const first = yield* rows("SELECT consumed_by_step, dropped_at_step FROM lessons WHERE run = $1 AND step = $2 FOR UPDATE", at)
    if (first.some((lesson) => lesson["consumed_by_step"] !== null || lesson["dropped_at_step"] !== null)) return
    yield* rows("DELETE FROM rollouts WHERE run = $1 AND step = $2", at)
    yield* insert("rollouts", tables.rollouts.map((row) => ({ run, ...row })))
  }
  for (const table of ["candidates", "verdicts", "lessons", "costs"] as const) {
    yield* insert(table, tables[table].map((row) => ({ run, ...row })))
  }
})

const untrained = `
  SELECT id::text AS id, step, prompt_id, candidate, rejected, signal, weight FROM lessons
  WHERE run = $1 AND consumed_by_step IS NULL AND dropped_at_step IS NULL ORDER BY lessons.id FOR UPDATE SKIP LOCKED`

const candidates = `
  SELECT step, prompt_id, idx, prompt, policy_version, seed::float8 AS seed, prompt_ids, completion_ids, logps, svg, finish
  FROM candidates c WHERE run = $1 AND step = ANY ($2::int[]) AND EXISTS (
    SELECT 1 FROM lessons l WHERE l.id = ANY ($3::text[]::bigint[]) AND l.run = c.run AND l.step = c.step AND l.prompt_id = c.prompt_id
      AND c.idx IN (l.candidate, l.rejected))`

const verdicts = `
  SELECT step, prompt_id, a, b, outcome, confidence, score_a, score_b, judged_by, reason, cost_usd
  FROM verdicts WHERE run = $1 AND step = ANY ($2::int[])`

/** Lessons that another process takes at this moment are left to it. */
const take = Effect.fnUntraced(function*({ rows, run }: RunDb, version: number, options: StalenessOptions, discarded?: (version: number) => boolean) {
  const found = yield* rows(untrained, [run])
  const steps = [...new Set(found.map(({ step }) => Number(step)))]
  const ids = found.map(({ id }) => String(id))
  const by = (name: string, ...values: ReadonlyArray<unknown>) => JSON.stringify([name, ...values])
  const known = new Map<string, Readonly<Record<string, unknown>>>()
  if (ids.length > 0) {
    for (const row of yield* rows(candidates, [run, steps, ids])) known.set(by("candidate", row["step"], row["prompt_id"], row["idx"]), row)
    for (const row of yield* rows(verdicts, [run, steps])) known.set(by("verdict", row["step"], row["prompt_id"], row["a"], row["b"]), row)
  }
  const lessonOf = lessonReader({
    candidate: (step, promptId, index) => known.get(by("candidate", step, promptId, index)),
    verdict: (step, promptId, chosen, rejected) => {
      const [won, lost] = [[chosen, rejected], [rejected, chosen]].map(([a, b]) => known.get(by("verdict", step, promptId, a, b)))
      return won !== undefined && won["outcome"] !== "B" ? won : lost
    }
  })
  const lessons: Array<Lesson> = []
  const marked: Record<"consumed_by_step" | "dropped_at_step", Array<string>> = { consumed_by_step: [], dropped_at_step: [] }
  for (const { id, ...row } of found) {
    const admitted = admit(lessonOf(row), version, options, discarded)
    if (admitted !== undefined) lessons.push(admitted)
    marked[admitted === undefined ? "dropped_at_step" : "consumed_by_step"].push(String(id))
  }
  for (const [mark, ids] of Object.entries(marked)) {
    if (ids.length > 0) yield* rows(`UPDATE lessons SET ${mark} = $1 WHERE id = ANY ($2::text[]::bigint[])`, [version, ids])
  }
  return { lessons, stale: marked.dropped_at_step.length }
})
