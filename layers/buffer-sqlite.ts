/**
 * PreferenceBuffer in one SQLite file: everything a run saw, drew, asked and paid. Read it with any SQLite tool while
 * the run goes on (WAL); a rollout is there whole or not at all, and survives a power cut once `put` returned.
 */
import { DatabaseSync, type SQLInputValue } from "node:sqlite"
import { Effect, Layer, Schema } from "effect"
import { Candidate, Preference, Prompt, type Rollout, Verdict } from "../src/domain.ts"
import { admit, type StalenessOptions } from "../src/pairing.ts"
import { BufferFailed, PreferenceBuffer } from "../src/stages/PreferenceBuffer.ts"

/** Version of the tables below; a file with a higher one is refused, not guessed at. */
export const schemaVersion = 1

/**
 * A candidate is named by (step, prompt_id, idx), a pair by its candidates' idx. Lists of numbers are JSON: doubles keep
 * every bit. A preference is untrained while both `consumed_by_step` and `dropped_at_step` are NULL.
 */
const tables = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE rollouts (
    step INTEGER PRIMARY KEY, policy_version INTEGER NOT NULL,
    sample_seconds REAL NOT NULL, render_seconds REAL NOT NULL, judge_seconds REAL NOT NULL
  ) STRICT;
  CREATE TABLE candidates (
    step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    prompt_id TEXT NOT NULL, idx INTEGER NOT NULL, prompt TEXT NOT NULL,
    policy_version INTEGER NOT NULL, seed INTEGER NOT NULL,
    prompt_ids TEXT NOT NULL, completion_ids TEXT NOT NULL, logps TEXT NOT NULL,
    svg TEXT NOT NULL, finish TEXT NOT NULL,
    rendering TEXT NOT NULL, reason TEXT, detail TEXT, picture_hash TEXT,
    PRIMARY KEY (step, prompt_id, idx)
  ) STRICT;
  CREATE TABLE verdicts (
    step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    prompt_id TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL,
    outcome TEXT NOT NULL, confidence REAL NOT NULL, score_a REAL, score_b REAL,
    judged_by TEXT NOT NULL, reason TEXT, cost_usd REAL,
    PRIMARY KEY (step, prompt_id, a, b)
  ) STRICT;
  CREATE TABLE preferences (
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    prompt_id TEXT NOT NULL, chosen INTEGER NOT NULL, rejected INTEGER NOT NULL, label REAL NOT NULL, weight REAL NOT NULL,
    consumed_by_step INTEGER, dropped_at_step INTEGER
  ) STRICT;
  CREATE INDEX untrained ON preferences (id) WHERE consumed_by_step IS NULL AND dropped_at_step IS NULL;
  CREATE TABLE costs (
    step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    judged_by TEXT NOT NULL, answers INTEGER NOT NULL, usd REAL NOT NULL,
    PRIMARY KEY (step, judged_by)
  ) STRICT;
  INSERT INTO meta VALUES ('schema_version', '${schemaVersion}');
`

export interface BufferSqliteOptions extends StalenessOptions {
  /** The file; made when it is missing, opened at the first `put` or `take`. */
  readonly path: string
  /**
   * The step a resumed run begins with. Rollouts from this step on are forgotten and preferences that they trained are
   * untrained again, because the parameters are those from before it. Default: nothing is undone.
   */
  readonly resumeAt?: number | undefined
  /** How long a file that another program writes is waited for, milliseconds; the thread stands still. Default 2000. */
  readonly timeout?: number
}

/** Every error is a `BufferFailed`, and then nothing of the call was written. The file is closed with the scope. */
export const layer = (options: BufferSqliteOptions) =>
  Layer.effect(
    PreferenceBuffer,
    Effect.gen(function*() {
      const database = yield* Effect.cached(Effect.suspend(() => attempt(options.path, () => open(options))))
      const opened: { db?: DatabaseSync } = {}
      yield* Effect.addFinalizer(() => Effect.sync(() => opened.db?.close()))
      const transaction = Effect.fnUntraced(function*<A>(work: (db: DatabaseSync) => A) {
        const db = opened.db = yield* database
        return yield* attempt(options.path, () => atomically(db, () => work(db)))
      })
      return PreferenceBuffer.of({
        put: Effect.fn("PreferenceBuffer.put")((rollout: Rollout) => transaction((db) => store(db, rollout))),
        take: Effect.fn("PreferenceBuffer.take")((version: number) => transaction((db) => take(db, version, options)))
      })
    })
  )

class NewerDatabase extends Error {}

const attempt = <A>(path: string, work: () => A) =>
  Effect.try({ try: work, catch: (cause) => new BufferFailed({ message: sentence(path, cause) }) })

/** Result codes of SQLite that people can do something about: https://sqlite.org/rescode.html */
const advice: Readonly<Record<number, string>> = {
  5: "is locked by another program: is a second run writing into the same folder?",
  6: "is locked by another program: is a second run writing into the same folder?",
  8: "is read-only: check its permissions and those of its folder.",
  11: "is damaged: restore it from a copy or start a new run.",
  13: "cannot grow: the disk is full.",
  14: "cannot be opened: does its folder exist, and may it be written?",
  26: "is not an SQLite database: choose another name or move it away."
}

const sentence = (path: string, cause: unknown): string => {
  if (cause instanceof NewerDatabase) return `${path} ${cause.message}`
  const code = cause instanceof Error && "errcode" in cause ? Number(cause.errcode) & 0xff : 0
  return `${path} ${advice[code] ?? `could not be used: ${cause instanceof Error ? cause.message : String(cause)}`}`
}

const atomically = <A>(db: DatabaseSync, work: () => A): A => {
  db.exec("BEGIN IMMEDIATE")
  try {
    const value = work()
    db.exec("COMMIT")
    return value
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK")
    throw error
  }
}

const open = ({ path, resumeAt, timeout = 2000 }: BufferSqliteOptions): DatabaseSync => {
  const db = new DatabaseSync(path, { timeout })
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
    atomically(db, () => {
      const known = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'meta'").get() !== undefined
      if (!known) return db.exec(tables)
      const version = Number(db.prepare("SELECT value FROM meta WHERE key = 'schema_version'").get()?.["value"])
      if (version > schemaVersion) {
        throw new NewerDatabase(
          `was written by a newer vequinox (schema ${version}, this one knows ${schemaVersion}): update vequinox.`
        )
      }
    })
    if (resumeAt !== undefined) atomically(db, () => rewind(db, resumeAt))
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

const rewind = (db: DatabaseSync, step: number): void => {
  db.prepare("DELETE FROM rollouts WHERE step >= ?").run(step)
  db.prepare("UPDATE preferences SET consumed_by_step = NULL WHERE consumed_by_step >= ?").run(step)
  db.prepare("UPDATE preferences SET dropped_at_step = NULL WHERE dropped_at_step >= ?").run(step)
}

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
