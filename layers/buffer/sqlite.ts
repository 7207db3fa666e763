/** PreferenceBuffer in the run's database (run-database.ts): a rollout is there whole or not at all. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite"
import { Effect, Layer, Schema } from "effect"
import { Candidate, Preference, Prompt, type Rollout, Verdict } from "../../src/domain.ts"
import { admit, type StalenessOptions } from "../../src/lessons/decide.ts"
import { BufferFailed, PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { RunDatabase, type RunDatabaseFailed, type RunDatabaseOptions } from "../store/run-database.ts"

const bufferFailed = <A>(work: Effect.Effect<A, RunDatabaseFailed>) =>
  Effect.mapError(work, ({ message }) => new BufferFailed({ message }))

/** Every error is a `BufferFailed`, and then nothing of the call was written. */
export const layerIn = (options: StalenessOptions) =>
  Layer.effect(
    PreferenceBuffer,
    Effect.gen(function*() {
      const { transaction } = yield* RunDatabase
      return PreferenceBuffer.of({
        put: Effect.fn("PreferenceBuffer.put")((rollout: Rollout) => bufferFailed(transaction((db) => store(db, rollout)))),
        take: Effect.fn("PreferenceBuffer.take")((version: number) =>
          bufferFailed(transaction((db) => take(db, version, options))))
      })
    })
  )

/** The same with a database of its own. */
export const layer = (options: StalenessOptions & RunDatabaseOptions) =>
  layerIn(options).pipe(Layer.provide(RunDatabase.layer(options)))

/** A rollout that is put again replaces its first copy. */
const store = (db: DatabaseSync, { drawings, pairs, policyVersion, preferences, seconds, step }: Rollout): void => {
  const insert = (table: string, columns: number) => {
    const statement = db.prepare(`INSERT INTO ${table} VALUES (${Array(columns).fill("?").join(", ")})`)
    return (...values: ReadonlyArray<SQLInputValue>) => void statement.run(...values)
  }
  db.prepare("DELETE FROM rollouts WHERE step = ?").run(step)
  insert("rollouts", 5)(step, policyVersion, seconds.sample, seconds.render, seconds.judge)

  const candidate = insert("candidates", 15)
  for (const { candidate: c, rendering } of drawings) {
    const [reason, detail, hash] = rendering._tag === "Rendered"
      ? [null, null, rendering.picture.hash]
      : [rendering.reason, rendering.detail, null]
    const lists = [c.promptIds, c.completionIds, c.logps].map((list) => JSON.stringify(list))
    candidate(c.step, c.prompt.id, c.index, c.prompt.text, c.policyVersion, c.seed, ...lists, c.svg, c.finish, rendering._tag, reason, detail, hash)
  }
  const verdict = insert("verdicts", 11)
  const costs = new Map<string, { answers: number; usd: number }>()
  for (const { a, b, verdict: { by, confidence, costUsd, outcome, reason, scores } } of pairs) {
    verdict(step, a.prompt.id, a.index, b.index, outcome, confidence, scores?.[0] ?? null, scores?.[1] ?? null, by, reason ?? null, costUsd ?? null)
    const soFar = costs.get(by) ?? { answers: 0, usd: 0 }
    costs.set(by, { answers: soFar.answers + 1, usd: soFar.usd + (costUsd ?? 0) })
  }
  const preference = insert("preferences", 9)
  for (const { chosen, label, prompt, rejected, weight } of preferences) {
    preference(null, step, prompt.id, chosen.index, rejected.index, label, weight, null, null)
  }
  const cost = insert("costs", 4)
  for (const [by, { answers, usd }] of costs) cost(step, by, answers, usd)
}

const Ints = Schema.fromJsonString(Schema.Array(Schema.Int))
const Numbers = Schema.fromJsonString(Schema.Array(Schema.Finite))
const Nullable = <S extends Schema.Top>(schema: S) => Schema.NullOr(schema)

const CandidateRow = Schema.Struct({
  step: Schema.Int,
  prompt_id: Schema.String,
  idx: Schema.Int,
  prompt: Schema.String,
  policy_version: Schema.Int,
  seed: Schema.Int,
  prompt_ids: Ints,
  completion_ids: Ints,
  logps: Numbers,
  svg: Schema.String,
  finish: Candidate.fields.finish
})
const decodeCandidate = Schema.decodeUnknownSync(CandidateRow)

const PreferenceRow = Schema.Struct({
  id: Schema.Int,
  step: Schema.Int,
  prompt_id: Schema.String,
  chosen: Schema.Int,
  rejected: Schema.Int,
  label: Schema.Finite,
  weight: Schema.Finite,
  outcome: Verdict.fields.outcome,
  confidence: Schema.Finite,
  score_a: Nullable(Schema.Finite),
  score_b: Nullable(Schema.Finite),
  judged_by: Schema.String,
  reason: Nullable(Schema.String),
  cost_usd: Nullable(Schema.Finite)
})
const decodePreference = Schema.decodeUnknownSync(PreferenceRow)

const untrained = `
  SELECT p.id, p.step, p.prompt_id, p.chosen, p.rejected, p.label, p.weight,
         v.outcome, v.confidence, v.score_a, v.score_b, v.judged_by, v.reason, v.cost_usd
  FROM preferences p JOIN verdicts v ON v.step = p.step AND v.prompt_id = p.prompt_id
    AND v.a = CASE v.outcome WHEN 'B' THEN p.rejected ELSE p.chosen END
    AND v.b = CASE v.outcome WHEN 'B' THEN p.chosen ELSE p.rejected END
  WHERE p.consumed_by_step IS NULL AND p.dropped_at_step IS NULL ORDER BY p.id`

const take = (db: DatabaseSync, version: number, options: StalenessOptions) => {
  const consume = db.prepare("UPDATE preferences SET consumed_by_step = ? WHERE id = ?")
  const drop = db.prepare("UPDATE preferences SET dropped_at_step = ? WHERE id = ?")
  const find = db.prepare("SELECT * FROM candidates WHERE step = ? AND prompt_id = ? AND idx = ?")
  const known = new Map<string, Candidate>() // a candidate of several pairs is read once
  const candidate = (step: number, promptId: string, index: number): Candidate => {
    const key = `${step} ${index} ${promptId}`
    const found = known.get(key) ?? candidateOf(find.get(step, promptId, index))
    known.set(key, found)
    return found
  }
  const preferences: Array<Preference> = []
  let stale = 0
  for (const row of db.prepare(untrained).all().map((row) => decodePreference(row))) {
    const chosen = candidate(row.step, row.prompt_id, row.chosen)
    const rejected = candidate(row.step, row.prompt_id, row.rejected)
    const { label, weight } = row
    const preference = new Preference({ prompt: chosen.prompt, chosen, rejected, label, weight, verdict: verdictOf(row) })
    const admitted = admit(preference, version, options)
    if (admitted === undefined) stale++
    else preferences.push(admitted)
    ;(admitted === undefined ? drop : consume).run(version, row.id)
  }
  return { preferences, stale }
}

const candidateOf = (row: unknown): Candidate => {
  const { completion_ids, finish, idx, logps, policy_version, prompt, prompt_id, prompt_ids, seed, step, svg } = decodeCandidate(row)
  return new Candidate({
    prompt: new Prompt({ id: prompt_id, text: prompt }),
    step,
    index: idx,
    policyVersion: policy_version,
    seed,
    promptIds: prompt_ids,
    completionIds: completion_ids,
    logps,
    svg,
    finish
  })
}

const verdictOf = ({ confidence, cost_usd, judged_by, outcome, reason, score_a, score_b }: typeof PreferenceRow.Type): Verdict =>
  new Verdict({
    outcome,
    confidence,
    by: judged_by,
    ...(score_a === null || score_b === null ? {} : { scores: [score_a, score_b] as const }),
    ...(reason === null ? {} : { reason }),
    ...(cost_usd === null ? {} : { costUsd: cost_usd })
  })
