/** RunState in the run's database. */
import type { DatabaseSync } from "node:sqlite"
import { Effect, Layer, Schema } from "effect"
import { RunState, RunStateFailed, type StoredPreference } from "../../src/stages/RunState.ts"
import { listIn } from "./number-blobs.ts"
import { RunDatabase, type RunDatabaseFailed } from "./run-database.ts"

const Trust = Schema.fromJsonString(Schema.Array(Schema.Struct({ scorer: Schema.String, pairs: Schema.Int, tau: Schema.Finite })))
export const decodeTrust = Schema.decodeUnknownSync(Trust)

const Report = Schema.Struct({
  step: Schema.Int,
  policyVersion: Schema.Int,
  metrics: Schema.fromJsonString(Schema.Record(Schema.String, Schema.Finite)),
  trust: Trust
})
/** Rows of `storedReports`. */
export const decodeReports = Schema.decodeUnknownSync(Schema.Array(Report))

const Checkpoint = Schema.Struct({ step: Schema.Int, sha256: Schema.String, seconds: Schema.Finite })
export const decodeCheckpoints = Schema.decodeUnknownSync(Schema.Array(Checkpoint))

/** Until they have so many tokens together. @param rows newest first, each with `completion_ids` */
export const completionsIn = (rows: Iterable<Readonly<Record<string, unknown>>>, tokens: number): Array<ReadonlyArray<number>> => {
  const completions: Array<ReadonlyArray<number>> = []
  let left = tokens
  for (const { completion_ids } of rows) {
    if (left <= 0) break
    const ids = listIn(completion_ids)
    completions.push(ids)
    left -= ids.length
  }
  return completions
}

const count = (db: DatabaseSync, fault: string, times: number): void => {
  if (times === 0) return
  db.prepare("INSERT INTO faults VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET count = count + excluded.count").run(fault, times)
}

const rewind = (db: DatabaseSync, step: number): void => {
  db.prepare("DELETE FROM checkpoints WHERE step > ?").run(step)
  db.prepare("DELETE FROM reports WHERE step >= ?").run(step)
  db.prepare("DELETE FROM rollouts WHERE step >= ?").run(step)
  db.prepare("UPDATE lessons SET consumed_by_step = NULL WHERE consumed_by_step >= ?").run(step)
  db.prepare("UPDATE lessons SET dropped_at_step = NULL WHERE dropped_at_step >= ?").run(step)
  count(db, "judge/in_doubt", Number(db.prepare("UPDATE calls SET state = 'in doubt' WHERE state = 'asked'").run().changes))
}

const commit = `
  INSERT INTO checkpoints VALUES ($step, $sha256, $seconds,
    (SELECT count(*) FROM lessons WHERE consumed_by_step < $step),
    (SELECT coalesce(sum(usd), 0) FROM costs WHERE step < $step))`

const forgetFailures = `
  DELETE FROM judgments WHERE step >= ?
    AND EXISTS (SELECT 1 FROM json_each(verdicts) WHERE json_extract(value, '$.outcome') = 'failed')`

const preferences = `
  SELECT p.step, c.policy_version AS policyVersion, c.prompt, c.svg AS chosen, r.svg AS rejected, v.judged_by AS judge,
         v.confidence, p.label, p.weight
  FROM preferences p
    JOIN candidates c ON c.step = p.step AND c.prompt_id = p.prompt_id AND c.idx = p.chosen
    JOIN candidates r ON r.step = p.step AND r.prompt_id = p.prompt_id AND r.idx = p.rejected
    JOIN verdicts v ON v.step = p.step AND v.prompt_id = p.prompt_id
      AND v.a = min(p.chosen, p.rejected) AND v.b = max(p.chosen, p.rejected)
  ORDER BY p.id`

/** Every step's report, in their order. */
export const storedReports = "SELECT step, policy_version AS policyVersion, metrics, trust FROM reports ORDER BY step"

const stateFailed = <A>(work: Effect.Effect<A, RunDatabaseFailed>) =>
  Effect.mapError(work, ({ message }) => new RunStateFailed({ message }))

export const layer = Layer.effect(
  RunState,
  Effect.gen(function*() {
    const database = yield* RunDatabase
    const read = <A>(work: (db: DatabaseSync) => A) => stateFailed(database.read(work))
    const write = (work: (db: DatabaseSync) => void) => stateFailed(database.transaction(work))
    return RunState.of({
      checkpoints: read((db) => decodeCheckpoints(db.prepare("SELECT step, sha256, seconds FROM checkpoints ORDER BY step DESC").all())),
      rewind: (step) => write((db) => rewind(db, step)),
      commit: ({ seconds, sha256, step }, pruned) =>
        write((db) => {
          db.prepare(commit).run({ step, sha256, seconds })
          for (const old of pruned) db.prepare("DELETE FROM checkpoints WHERE step = ?").run(old)
        }),
      forgetFailures: (step) => write((db) => void db.prepare(forgetFailures).run(step)),
      report: ({ metrics, policyVersion, step, trust }) =>
        write((db) =>
          void db.prepare("INSERT INTO reports VALUES (?, ?, ?, ?)").run(step, policyVersion, JSON.stringify(metrics), JSON.stringify(trust))),
      reports: read((db) =>
        decodeReports(db.prepare(storedReports).all())),
      eachPreference: (use) =>
        read((db) => {
          for (const row of db.prepare(preferences).iterate()) use(row as unknown as StoredPreference)
        }),
      completionsBefore: (step, tokens) =>
        read((db) =>
          completionsIn(db.prepare("SELECT completion_ids FROM candidates WHERE step < ? ORDER BY step DESC, prompt_id, idx").iterate(step), tokens)),
      count: (fault) => write((db) => count(db, fault, 1)),
      faults: read((db) =>
        Object.fromEntries(db.prepare("SELECT name, count FROM faults ORDER BY name").all().map(({ count, name }) => [String(name), Number(count)]))),
      costUsd: read((db) => {
        const { calls, nano } = db.prepare("SELECT count(*) AS calls, coalesce(sum(nano_usd), 0) AS nano FROM calls").get()!
        return calls === 0 ? undefined : Number(nano) / 1e9
      }),
      finished: read((db) => {
        const steps = db.prepare("SELECT value FROM meta WHERE key = 'finished'").get()?.["value"]
        return steps === undefined ? undefined : Number(steps)
      }),
      finish: (steps) => write((db) => void db.prepare("INSERT OR REPLACE INTO meta VALUES ('finished', ?)").run(String(steps)))
    })
  })
)
