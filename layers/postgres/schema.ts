/** The tables of all runs, in a schema of their own, so that they share a database with anything. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Db, PostgresFailed } from "./db.ts"

export const schema = "vequinox"

/** As JSON.stringify writes one. */
const number = String.raw`-?\d+(\.\d+)?(e[-+]?\d+)?`

/**
 * What layers/store/number-blobs.ts makes of a list, in SQL: the first of its types that holds every value. Text that is no list
 * of numbers is kept as it is, and refused when it is read, as it was. A cast to float4 fails where the value is too large or
 * too small for it, so that is looked at before.
 */
const blobOfJson = String.raw`CREATE FUNCTION blob_of_json(list TEXT) RETURNS BYTEA LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN list !~ '^\[(${number}(,${number})*)?\]$' THEN convert_to(list, 'UTF8') ELSE (
      WITH numbers AS MATERIALIZED (
        SELECT n, at, n = trunc(n) AND float8send(n) <> '\x8000000000000000' AS whole
        FROM unnest(string_to_array(btrim(list, '[]'), ',')::float8[]) WITH ORDINALITY AS numbers (n, at)
      ), type AS MATERIALIZED (
        SELECT CASE
          WHEN count(*) = 0 OR bool_and(whole AND n BETWEEN 0 AND 65535) THEN 'H'
          WHEN bool_and(whole AND n BETWEEN -2147483648 AND 2147483647) THEN 'i'
          WHEN bool_and(n = 0 OR CASE WHEN abs(n) BETWEEN 1.4012984643248171e-45 AND 3.4028234663852886e38 THEN n::float4::float8 = n ELSE false END) THEN 'f'
          ELSE 'd' END AS letter
        FROM numbers
      )
      SELECT convert_to(letter, 'UTF8') || coalesce((
        SELECT string_agg(
          CASE letter WHEN 'H' THEN substring(int4send(n::int4) FROM 3) WHEN 'i' THEN int4send(n::int4) WHEN 'f' THEN float4send(n::float4) ELSE float8send(n) END,
          '' ORDER BY at)
        FROM numbers), '')
      FROM type
    ) END
  $$`

/**
 * What each version adds to the version before, as layers/store/run-database.ts does for SQLite. The tables of a run are those of run.db, each with `run`, a row of
 * `runs`; their columns are explained there. A run's `name` is `run_id` of its config.json; `holds` counts the processes that
 * have held it (hold-run.ts). `receipts` are of transactions whose process may not know yet that they were committed
 * (postgres.ts).
 */
export const migrations = [
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
  )`,

  `${blobOfJson};
  ALTER TABLE candidates
    ALTER COLUMN prompt_ids TYPE BYTEA USING blob_of_json(prompt_ids),
    ALTER COLUMN completion_ids TYPE BYTEA USING blob_of_json(completion_ids),
    ALTER COLUMN logps TYPE BYTEA USING blob_of_json(logps);
  DROP FUNCTION blob_of_json`
]

export const schemaVersion = migrations.length

/** 0 where there are none. Tables that are asked, unlike functions such as to_regclass, know what another process made a moment ago. */
export const versionIn = Effect.fnUntraced(function*({ rows }: Db) {
  const found = yield* rows("SELECT 1 AS one FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_version'", [schema])
  return found.length === 0 ? 0 : Number((yield* rows(`SELECT version FROM ${schema}.schema_version`))[0]?.["version"])
})

/**
 * Makes the tables, or brings those of an older version up to date. Must run in a transaction. Fails with `PostgresFailed` if another version made them.
 *
 * @param timeout longest for one statement, milliseconds: a table may be written anew
 */
export const bringUpToDate = Effect.fnUntraced(function*(db: Db, timeout: number): Effect.fn.Return<void, SqlError | PostgresFailed> {
  yield* db.rows(`SET LOCAL statement_timeout = ${timeout}`)
  yield* db.rows("SELECT pg_advisory_xact_lock(hashtext('vequinox schema'))") // other processes that begin now wait here
  const version = yield* versionIn(db)
  if (version === schemaVersion) return
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
