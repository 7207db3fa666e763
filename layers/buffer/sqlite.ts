/** PreferenceBuffer in the run's database (layers/store/run-database.ts): a rollout is stored whole or not at all. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite"
import { Effect, Layer, Schema } from "effect"
import { Advantage, Candidate, type Lesson, Preference, Prompt, type Rollout, Verdict } from "../../src/domain.ts"
import { admit, type StalenessOptions } from "../../src/lessons/staleness.ts"
import { BufferFailed, PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
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

/** Putting a rollout again replaces its first copy. */
const store = (db: DatabaseSync, { drawings, lessons, pairs, policyVersion, seconds, step }: Rollout): void => {
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
  const lesson = insert("lessons", 9)
  for (const l of lessons) {
    const [candidate, rejected, signal] = l._tag === "Advantage"
      ? [l.candidate.index, null, l.advantage]
      : [l.chosen.index, l.rejected.index, l.label]
    lesson(null, step, l.prompt.id, candidate, rejected, signal, l.weight, null, null)
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

const LessonRow = Schema.Struct({
  id: Schema.Int,
  step: Schema.Int,
  prompt_id: Schema.String,
  candidate: Schema.Int,
  rejected: Nullable(Schema.Int),
  signal: Schema.Finite,
  weight: Schema.Finite
})
const decodeLesson = Schema.decodeUnknownSync(LessonRow)

const VerdictRow = Schema.Struct({
  outcome: Verdict.fields.outcome,
  confidence: Schema.Finite,
  score_a: Nullable(Schema.Finite),
  score_b: Nullable(Schema.Finite),
  judged_by: Schema.String,
  reason: Nullable(Schema.String),
  cost_usd: Nullable(Schema.Finite)
})
const decodeVerdict = Schema.decodeUnknownSync(VerdictRow)

const untrained = `
  SELECT id, step, prompt_id, candidate, rejected, signal, weight FROM lessons
  WHERE consumed_by_step IS NULL AND dropped_at_step IS NULL ORDER BY id`

/** The verdict that a preference comes from: B if the chosen drawing was the second. */
const verdictBehind = `
  SELECT outcome, confidence, score_a, score_b, judged_by, reason, cost_usd FROM verdicts
  WHERE step = $step AND prompt_id = $prompt
    AND a = CASE outcome WHEN 'B' THEN $rejected ELSE $chosen END
    AND b = CASE outcome WHEN 'B' THEN $chosen ELSE $rejected END`

const take = (db: DatabaseSync, version: number, options: StalenessOptions, discarded?: (version: number) => boolean) => {
  const consume = db.prepare("UPDATE lessons SET consumed_by_step = ? WHERE id = ?")
  const drop = db.prepare("UPDATE lessons SET dropped_at_step = ? WHERE id = ?")
  const find = db.prepare("SELECT * FROM candidates WHERE step = ? AND prompt_id = ? AND idx = ?")
  const findVerdict = db.prepare(verdictBehind)
  const known = new Map<string, Candidate>() // a candidate of several lessons is read once
  const candidate = (step: number, promptId: string, index: number): Candidate => {
    const key = `${step} ${index} ${promptId}`
    const found = known.get(key) ?? candidateOf(find.get(step, promptId, index))
    known.set(key, found)
    return found
  }
  const lessonOf = (row: typeof LessonRow.Type): Lesson => {
    const { signal, weight } = row
    const first = candidate(row.step, row.prompt_id, row.candidate)
    if (row.rejected === null) return new Advantage({ prompt: first.prompt, candidate: first, advantage: signal, weight })
    const verdict = findVerdict.get({ $step: row.step, $prompt: row.prompt_id, $chosen: row.candidate, $rejected: row.rejected })
    return new Preference({
      prompt: first.prompt,
      chosen: first,
      rejected: candidate(row.step, row.prompt_id, row.rejected),
      label: signal,
      weight,
      verdict: verdictOf(decodeVerdict(verdict))
    })
  }
  const lessons: Array<Lesson> = []
  let stale = 0
  for (const row of db.prepare(untrained).all().map((row) => decodeLesson(row))) {
    const admitted = admit(lessonOf(row), version, options, discarded)
    if (admitted === undefined) stale++
    else lessons.push(admitted)
    ;(admitted === undefined ? drop : consume).run(version, row.id)
  }
  return { lessons, stale }
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

const verdictOf = ({ confidence, cost_usd, judged_by, outcome, reason, score_a, score_b }: typeof VerdictRow.Type): Verdict =>
  new Verdict({
    outcome,
    confidence,
    by: judged_by,
    ...(score_a === null || score_b === null ? {} : { scores: [score_a, score_b] as const }),
    ...(reason === null ? {} : { reason }),
    ...(cost_usd === null ? {} : { costUsd: cost_usd })
  })
