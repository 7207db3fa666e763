/** A rollout as rows of the tables of a run's database, and its lessons read back: the same in SQLite and in Postgres. */
import { Schema } from "effect"
import { Advantage, Candidate, type Lesson, Preference, Prompt, type Rollout, Verdict } from "../../src/domain.ts"
import { blobOf, IntColumn, NumberColumn } from "./number-blobs.ts"

/** Rows by table. Lists of numbers are blobs (number-blobs.ts), which keep every bit. */
export const rowsOf = ({ drawings, lessons, pairs, policyVersion, seconds, step }: Rollout) => {
  const costs = new Map<string, { answers: number; usd: number }>()
  for (const { verdict: { by, costUsd } } of pairs) {
    const soFar = costs.get(by) ?? { answers: 0, usd: 0 }
    costs.set(by, { answers: soFar.answers + 1, usd: soFar.usd + (costUsd ?? 0) })
  }
  return {
    rollouts: [{
      step, policy_version: policyVersion,
      sample_seconds: seconds.sample, render_seconds: seconds.render, judge_seconds: seconds.judge
    }],
    candidates: drawings.map(({ candidate: c, rendering }) => ({
      step: c.step, prompt_id: c.prompt.id, idx: c.index, prompt: c.prompt.text, policy_version: c.policyVersion, seed: c.seed,
      prompt_ids: blobOf(c.promptIds), completion_ids: blobOf(c.completionIds), logps: blobOf(c.logps),
      svg: c.svg, finish: c.finish, rendering: rendering._tag,
      reason: rendering._tag === "Rendered" ? null : rendering.reason,
      detail: rendering._tag === "Rendered" ? null : rendering.detail,
      picture_hash: rendering._tag === "Rendered" ? rendering.picture.hash : null
    })),
    verdicts: pairs.map(({ a, b, verdict: { by, confidence, costUsd, outcome, reason, scores } }) => ({
      step, prompt_id: a.prompt.id, a: a.index, b: b.index, outcome, confidence,
      score_a: scores?.[0] ?? null, score_b: scores?.[1] ?? null, judged_by: by, reason: reason ?? null, cost_usd: costUsd ?? null
    })),
    lessons: lessons.map((l) =>
      l._tag === "Advantage"
        ? { step, prompt_id: l.prompt.id, candidate: l.candidate.index, rejected: null, signal: l.advantage, weight: l.weight }
        : { step, prompt_id: l.prompt.id, candidate: l.chosen.index, rejected: l.rejected.index, signal: l.label, weight: l.weight }),
    costs: [...costs].map(([judged_by, { answers, usd }]) => ({ step, judged_by, answers, usd }))
  }
}

const Nullable = <S extends Schema.Top>(schema: S) => Schema.NullOr(schema)

const CandidateRow = Schema.Struct({
  step: Schema.Int,
  prompt_id: Schema.String,
  idx: Schema.Int,
  prompt: Schema.String,
  policy_version: Schema.Int,
  seed: Schema.Int,
  prompt_ids: IntColumn,
  completion_ids: IntColumn,
  logps: NumberColumn,
  svg: Schema.String,
  finish: Candidate.fields.finish
})
const decodeCandidate = Schema.decodeUnknownSync(CandidateRow)

const LessonRow = Schema.Struct({
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

const verdictOf = (row: unknown): Verdict => {
  const { confidence, cost_usd, judged_by, outcome, reason, score_a, score_b } = decodeVerdict(row)
  return new Verdict({
    outcome,
    confidence,
    by: judged_by,
    ...(score_a === null || score_b === null ? {} : { scores: [score_a, score_b] as const }),
    ...(reason === null ? {} : { reason }),
    ...(cost_usd === null ? {} : { costUsd: cost_usd })
  })
}

/** Finds the rows that a lesson's row speaks of. */
export interface RowsBehind {
  readonly candidate: (step: number, promptId: string, index: number) => unknown
  /** The verdict that a preference comes from: its pair is (chosen, rejected), or (rejected, chosen) where B won. */
  readonly verdict: (step: number, promptId: string, chosen: number, rejected: number) => unknown
}

/** Reads lessons one by one; a candidate of several is read once. Throws where a row is not one. */
export const lessonReader = (behind: RowsBehind): (row: unknown) => Lesson => {
  const known = new Map<string, Candidate>()
  const candidate = (step: number, promptId: string, index: number): Candidate => {
    const key = `${step} ${index} ${promptId}`
    const found = known.get(key) ?? candidateOf(behind.candidate(step, promptId, index))
    known.set(key, found)
    return found
  }
  return (given) => {
    const { candidate: index, prompt_id, rejected, signal, step, weight } = decodeLesson(given)
    const first = candidate(step, prompt_id, index)
    if (rejected === null) return new Advantage({ prompt: first.prompt, candidate: first, advantage: signal, weight })
    return new Preference({
      prompt: first.prompt,
      chosen: first,
      rejected: candidate(step, prompt_id, rejected),
      label: signal,
      weight,
      verdict: verdictOf(behind.verdict(step, prompt_id, index, rejected))
    })
  }
}
