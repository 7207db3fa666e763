/** The tables of all runs, in a schema of their own, so that they share a database with anything. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Db, PostgresFailed } from "./db.ts"

export const schema = "vequinox"

/**
 * What each version adds to the version before, as layers/store/run-database.ts does for SQLite. The tables of a run are those of run.db, each with `run`, a row of
 * `runs`; their columns are explained there. A run's `name` is `run_id` of its config.json; `holds` counts the processes that
 * have held it (hold-run.ts). `receipts` are of transactions whose process may not know yet that they were committed
 * (postgres.ts).
 */
const migrations = [
  `CREATE TABLE runs (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE, began TIMESTAMPTZ NOT NULL DEFAULT now(),
    holds INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE receipts (token UUID PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT now());
  CREATE TABLE meta (run INTEGER REFERENCES runs ON DELETE CASCADE, key TEXT, value TEXT NOT NULL, PRIMARY KEY (run, key));
  CREATE TABLE rollouts (
    run INTEGER REFERENCES runs ON DELETE CASCADE, step INTEGER, policy_version INTEGER NOT NULL,
    sample_seconds DOUBLE PRECISION NOT NULL, render_seconds DOUBLE PRECISION NOT NULL, judge_seconds DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (run, step)
  );
  CREATE TABLE candidates (
    run INTEGER, step INTEGER, prompt_id TEXT, idx INTEGER, prompt TEXT NOT NULL, policy_version INTEGER NOT NULL,
    seed BIGINT NOT NULL, prompt_ids TEXT NOT NULL, completion_ids TEXT NOT NULL, logps TEXT NOT NULL, svg TEXT NOT NULL,
    finish TEXT NOT NULL, rendering TEXT NOT NULL, reason TEXT, detail TEXT, picture_hash TEXT,
    PRIMARY KEY (run, step, prompt_id, idx), FOREIGN KEY (run, step) REFERENCES rollouts ON DELETE CASCADE
  );
  CREATE TABLE verdicts (
    run INTEGER, step INTEGER, prompt_id TEXT, a INTEGER, b INTEGER, outcome TEXT NOT NULL, confidence DOUBLE PRECISION NOT NULL,
    score_a DOUBLE PRECISION, score_b DOUBLE PRECISION, judged_by TEXT NOT NULL, reason TEXT, cost_usd DOUBLE PRECISION,
    PRIMARY KEY (run, step, prompt_id, a, b), FOREIGN KEY (run, step) REFERENCES rollouts ON DELETE CASCADE
  );
  CREATE TABLE lessons (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run INTEGER NOT NULL, step INTEGER NOT NULL, prompt_id TEXT NOT NULL,
    candidate INTEGER NOT NULL, rejected INTEGER, signal DOUBLE PRECISION NOT NULL, weight DOUBLE PRECISION NOT NULL,
    consumed_by_step INTEGER, dropped_at_step INTEGER, FOREIGN KEY (run, step) REFERENCES rollouts ON DELETE CASCADE
  );
  CREATE INDEX lessons_of_rollouts ON lessons (run, step);
  CREATE INDEX untrained ON lessons (run, id) WHERE consumed_by_step IS NULL AND dropped_at_step IS NULL;
  CREATE VIEW preferences AS
    SELECT id, run, step, prompt_id, candidate AS chosen, rejected, signal AS label, weight, consumed_by_step, dropped_at_step
    FROM lessons WHERE rejected IS NOT NULL;
  CREATE TABLE costs (
    run INTEGER, step INTEGER, judged_by TEXT, answers INTEGER NOT NULL, usd DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (run, step, judged_by), FOREIGN KEY (run, step) REFERENCES rollouts ON DELETE CASCADE
  );
  CREATE TABLE judgments (
    run INTEGER REFERENCES runs ON DELETE CASCADE, key TEXT, step INTEGER NOT NULL, prompt_id TEXT NOT NULL, shown TEXT NOT NULL,
    judge TEXT NOT NULL, verdicts TEXT NOT NULL, failed BOOLEAN NOT NULL, PRIMARY KEY (run, key)
  );
  CREATE TABLE calls (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    question TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('asked', 'ended', 'in doubt')), nano_usd BIGINT NOT NULL
  );
  CREATE INDEX calls_of_runs ON calls (run);
  CREATE TABLE killed (
    run INTEGER REFERENCES runs ON DELETE CASCADE, drawing TEXT, reason TEXT NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (run, drawing)
  );
  CREATE TABLE reports (
    run INTEGER REFERENCES runs ON DELETE CASCADE, step INTEGER, policy_version INTEGER NOT NULL, metrics TEXT NOT NULL,
    trust TEXT NOT NULL, PRIMARY KEY (run, step)
  );
  CREATE TABLE checkpoints (
    run INTEGER REFERENCES runs ON DELETE CASCADE, step INTEGER, sha256 TEXT NOT NULL, seconds DOUBLE PRECISION NOT NULL,
    pairs INTEGER NOT NULL, cost_usd DOUBLE PRECISION NOT NULL, PRIMARY KEY (run, step)
  );
  CREATE TABLE faults (
    run INTEGER REFERENCES runs ON DELETE CASCADE, name TEXT, count INTEGER NOT NULL, PRIMARY KEY (run, name)
  )`
]

export const schemaVersion = migrations.length

/** Tables that are asked, unlike functions such as to_regclass, know what another process made a moment ago. */
const versionIn = Effect.fnUntraced(function*({ rows }: Db) {
  const found = yield* rows("SELECT 1 AS one FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_version'", [schema])
  return found.length === 0 ? 0 : Number((yield* rows(`SELECT version FROM ${schema}.schema_version`))[0]?.["version"])
})

/** Makes the tables, or brings those of an older version up to date. Must run in a transaction. Fails with `PostgresFailed` if another version made them. */
export const bringUpToDate = Effect.fnUntraced(function*(db: Db): Effect.fn.Return<void, SqlError | PostgresFailed> {
  if ((yield* versionIn(db)) === schemaVersion) return
  yield* db.rows("SELECT pg_advisory_xact_lock(hashtext('vequinox schema'))") // other processes that begin now wait here
  const version = yield* versionIn(db)
  if (version > schemaVersion) {
    return yield* new PostgresFailed({
      message: `The runs at ${db.place} were written by a newer vequinox (schema ${version}, this one knows ${schemaVersion}): update vequinox, or name another database in DATABASE_URL.`
    })
  }
  if (!Number.isInteger(version)) {
    return yield* new PostgresFailed({ message: `The schema ${schema} at ${db.place} is not vequinox's: name another database in DATABASE_URL.` })
  }
  const known = yield* db.rows("SELECT 1 AS one FROM pg_namespace WHERE nspname = $1", [schema]) // made for a user who may make tables alone
  const begin = version > 0 ? [] : [...known.length > 0 ? [] : [`CREATE SCHEMA ${schema}`], "CREATE TABLE schema_version (version INTEGER NOT NULL)", "INSERT INTO schema_version VALUES (0)"]
  const statements = migrations.slice(version).flatMap((tables) => tables.split(/;\s*\n/))
  for (const statement of [...begin, ...statements]) yield* db.rows(statement)
  yield* db.rows("UPDATE schema_version SET version = $1", [schemaVersion])
})
