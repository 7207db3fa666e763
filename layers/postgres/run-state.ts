/** RunState in Postgres. */
import { Effect, Layer } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { RunState, RunStateFailed, type StoredPreference } from "../../src/stages/RunState.ts"
import { completionsIn, decodeCheckpoints, decodeReports } from "../store/run-state.ts"
import type { PostgresFailed } from "./db.ts"
import { type RunDb, RunPostgres } from "./run-postgres.ts"

const countFault = ({ rows, run }: RunDb, fault: string, times: number) =>
  rows("INSERT INTO faults VALUES ($1, $2, $3) ON CONFLICT (run, name) DO UPDATE SET count = faults.count + excluded.count", [run, fault, times])

/**
 * A rollout that was trained by then stays, whatever its step: where other processes draw, they may be ahead of the
 * training.
 */
const rollouts = `
  DELETE FROM rollouts r WHERE r.run = $1 AND r.step >= $2
    AND NOT EXISTS (SELECT 1 FROM lessons l WHERE l.run = r.run AND l.step = r.step AND (l.consumed_by_step < $2 OR l.dropped_at_step < $2))`

const rewind = Effect.fnUntraced(function*(db: RunDb, step: number) {
  for (
    const statement of [
      "DELETE FROM checkpoints WHERE run = $1 AND step > $2",
      "DELETE FROM reports WHERE run = $1 AND step >= $2",
      rollouts,
      "UPDATE lessons SET consumed_by_step = NULL WHERE run = $1 AND consumed_by_step >= $2",
      "UPDATE lessons SET dropped_at_step = NULL WHERE run = $1 AND dropped_at_step >= $2"
    ]
  ) yield* db.rows(statement, [db.run, step])
  const doubtful = yield* db.rows("UPDATE calls SET state = 'in doubt' WHERE run = $1 AND state = 'asked' RETURNING 1 AS one", [db.run])
  if (doubtful.length > 0) yield* countFault(db, "judge/in_doubt", doubtful.length)
})

const commit = `
  INSERT INTO checkpoints VALUES ($1, $2, $3, $4,
    (SELECT count(*) FROM lessons WHERE run = $1 AND consumed_by_step < $2),
    (SELECT coalesce(sum(usd), 0) FROM costs WHERE run = $1 AND step < $2))`

/** Pages, so that one that is asked for again is not told twice, and a long run needs no more memory than a short one. */
const page = 500
const preferences = `
  SELECT p.id::text AS id, p.step, c.policy_version AS "policyVersion", c.prompt, c.svg AS chosen, r.svg AS rejected, v.judged_by AS judge,
         v.confidence, p.label, p.weight
  FROM preferences p
    JOIN candidates c ON c.run = p.run AND c.step = p.step AND c.prompt_id = p.prompt_id AND c.idx = p.chosen
    JOIN candidates r ON r.run = p.run AND r.step = p.step AND r.prompt_id = p.prompt_id AND r.idx = p.rejected
    JOIN verdicts v ON v.run = p.run AND v.step = p.step AND v.prompt_id = p.prompt_id
      AND v.a = least(p.chosen, p.rejected) AND v.b = greatest(p.chosen, p.rejected)
  WHERE p.run = $1 AND p.id > $2::text::bigint
  ORDER BY p.id LIMIT ${page}`

const earlier = `
  SELECT completion_ids FROM candidates WHERE run = $1 AND step < $2 ORDER BY step DESC, prompt_id COLLATE "C", idx LIMIT ${page} OFFSET $3`

const stateFailed = <A>(work: Effect.Effect<A, PostgresFailed>) => Effect.mapError(work, ({ message }) => new RunStateFailed({ message }))

export const layer = Layer.effect(
  RunState,
  Effect.gen(function*() {
    const postgres = yield* RunPostgres
    const read = <A>(work: (db: RunDb) => Effect.Effect<A, SqlError>) => stateFailed(postgres.read(work))
    const write = (work: (db: RunDb) => Effect.Effect<unknown, SqlError>) => stateFailed(Effect.asVoid(postgres.transaction(work)))
    return RunState.of({
      checkpoints: read(({ rows, run }) =>
        Effect.map(rows("SELECT step, sha256, seconds FROM checkpoints WHERE run = $1 ORDER BY step DESC", [run]), (found) => decodeCheckpoints(found))),
      rewind: (step) => write((db) => rewind(db, step)),
      commit: ({ seconds, sha256, step }, pruned) =>
        write(({ rows, run }) =>
          Effect.andThen(
            rows(commit, [run, step, sha256, seconds]),
            rows("DELETE FROM checkpoints WHERE run = $1 AND step = ANY ($2::int[])", [run, pruned])
          )),
      forgetFailures: (step) => write(({ rows, run }) => rows("DELETE FROM judgments WHERE run = $1 AND step >= $2 AND failed", [run, step])),
      report: ({ metrics, policyVersion, step, trust }) =>
        write(({ rows, run }) =>
          rows("INSERT INTO reports VALUES ($1, $2, $3, $4, $5)", [run, step, policyVersion, JSON.stringify(metrics), JSON.stringify(trust)])),
      reports: read(({ rows, run }) =>
        Effect.map(
          rows(`SELECT step, policy_version AS "policyVersion", metrics, trust FROM reports WHERE run = $1 ORDER BY step`, [run]),
          (found) => decodeReports(found)
        )),
      eachPreference: Effect.fnUntraced(function*(use) {
        for (let after = "0", full = true; full;) {
          const found = yield* read(({ rows, run }) => rows(preferences, [run, after]))
          for (const { id, ...preference } of found) {
            use(preference as unknown as StoredPreference)
            after = String(id)
          }
          full = found.length === page
        }
      }),
      completionsBefore: Effect.fnUntraced(function*(step, tokens) {
        const completions: Array<ReadonlyArray<number>> = []
        for (let left = tokens, full = true; full && left > 0;) {
          const found = yield* read(({ rows, run }) => rows(earlier, [run, step, completions.length]))
          const more = completionsIn(found, left)
          completions.push(...more)
          left -= more.reduce((n, { length }) => n + length, 0)
          full = found.length === page
        }
        return completions
      }),
      count: (fault) => write((db) => countFault(db, fault, 1)),
      faults: read(({ rows, run }) =>
        Effect.map(rows("SELECT name, count FROM faults WHERE run = $1", [run]), (found) =>
          Object.fromEntries(found.map(({ count, name }) => [String(name), Number(count)] as const).toSorted(([a], [b]) => (a < b ? -1 : 1))))),
      costUsd: read(({ rows, run }) =>
        Effect.map(rows("SELECT count(*)::text AS calls, coalesce(sum(nano_usd), 0)::text AS nano FROM calls WHERE run = $1", [run]), ([row]) =>
          row!["calls"] === "0" ? undefined : Number(row!["nano"]) / 1e9)),
      finished: read(({ rows, run }) =>
        Effect.map(rows("SELECT value FROM meta WHERE run = $1 AND key = 'finished'", [run]), ([row]) =>
          row === undefined ? undefined : Number(row["value"]))),
      finish: (steps) =>
        write(({ rows, run }) =>
          rows("INSERT INTO meta VALUES ($1, 'finished', $2) ON CONFLICT (run, key) DO UPDATE SET value = excluded.value", [run, String(steps)]))
    })
  })
)
