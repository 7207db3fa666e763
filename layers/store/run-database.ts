/**
 * `run.db`: one SQLite file with everything a run saw, drew, asked, paid and reported, and one connection to it. Any
 * SQLite tool can read it during the run (WAL). What was written is on disk when the effect returns, and survives
 * SIGKILL and a power cut.
 */
import { DatabaseSync } from "node:sqlite"
import { Context, Effect, Layer, Schema } from "effect"
import { resultCode } from "../../src/system/sqlite.ts"
import { atomically } from "./atomically.ts"
import { blobOfJson } from "./number-blobs.ts"

/** The file cannot be used; the message says why and what to do. Nothing of the work was written. */
export class RunDatabaseFailed extends Schema.TaggedError<RunDatabaseFailed>()("RunDatabaseFailed", {
  message: Schema.String
}) {}

/**
 * What each version adds to the tables of the version before; a file of a newer version is refused, not guessed at.
 *
 * A candidate is named by (step, prompt_id, idx), a pair by its candidates' idx. Lists of numbers are blobs
 * (number-blobs.ts), JSON until version 4. A lesson is a preference (a pair, `signal` its label) or, without `rejected`, an advantage
 * (`signal`); it is untrained while both `consumed_by_step` and `dropped_at_step` are NULL. A mark by a step that no
 * checkpoint covers is provisional, and removed when the run is resumed.
 *
 * `judgments` holds every answer before it is used, so it contains steps that `rollouts` does not hold yet. `calls` are
 * the paid calls: one that is still `asked` when its process has died is in doubt.
 */
export const migrations = [
  `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
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
  INSERT INTO meta VALUES ('schema_version', '1');`,

  `CREATE TABLE judgments (
    key TEXT PRIMARY KEY, step INTEGER NOT NULL, prompt_id TEXT NOT NULL, shown TEXT NOT NULL, judge TEXT NOT NULL,
    verdicts TEXT NOT NULL
  ) STRICT;
  CREATE TABLE calls (
    id INTEGER PRIMARY KEY, question TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('asked', 'ended', 'in doubt')),
    nano_usd INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE killed (drawing TEXT PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
  CREATE TABLE reports (
    step INTEGER PRIMARY KEY, policy_version INTEGER NOT NULL, metrics TEXT NOT NULL, trust TEXT NOT NULL
  ) STRICT;
  CREATE TABLE checkpoints (
    step INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, seconds REAL NOT NULL, pairs INTEGER NOT NULL, cost_usd REAL NOT NULL
  ) STRICT;
  CREATE TABLE faults (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;`,

  `CREATE TABLE lessons (
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    prompt_id TEXT NOT NULL, candidate INTEGER NOT NULL, rejected INTEGER, signal REAL NOT NULL, weight REAL NOT NULL,
    consumed_by_step INTEGER, dropped_at_step INTEGER
  ) STRICT;
  INSERT INTO lessons SELECT id, step, prompt_id, chosen, rejected, label, weight, consumed_by_step, dropped_at_step FROM preferences;
  DROP TABLE preferences;
  CREATE INDEX untrained ON lessons (id) WHERE consumed_by_step IS NULL AND dropped_at_step IS NULL;
  CREATE VIEW preferences AS
    SELECT id, step, prompt_id, candidate AS chosen, rejected, signal AS label, weight, consumed_by_step, dropped_at_step
    FROM lessons WHERE rejected IS NOT NULL;`,

  // What a person looks for in a run of many drawings, without reading their texts.
  `CREATE INDEX candidates_told ON candidates (step, prompt_id, idx, prompt, rendering, reason);
  CREATE INDEX verdicts_told ON verdicts (outcome, judged_by);
  CREATE INDEX dropped ON lessons (id) WHERE dropped_at_step IS NOT NULL;
  CREATE INDEX judgments_by_prompt ON judgments (step, prompt_id);`,

  // JSON of tokens and log-probabilities was three quarters of a drawing's row.
  `ALTER TABLE candidates RENAME TO candidates_of_json;
  CREATE TABLE candidates (
    step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    prompt_id TEXT NOT NULL, idx INTEGER NOT NULL, prompt TEXT NOT NULL,
    policy_version INTEGER NOT NULL, seed INTEGER NOT NULL,
    prompt_ids BLOB NOT NULL, completion_ids BLOB NOT NULL, logps BLOB NOT NULL,
    svg TEXT NOT NULL, finish TEXT NOT NULL,
    rendering TEXT NOT NULL, reason TEXT, detail TEXT, picture_hash TEXT,
    PRIMARY KEY (step, prompt_id, idx)
  ) STRICT;
  INSERT INTO candidates
    SELECT step, prompt_id, idx, prompt, policy_version, seed,
      blob_of_json(prompt_ids), blob_of_json(completion_ids), blob_of_json(logps),
      svg, finish, rendering, reason, detail, picture_hash
    FROM candidates_of_json ORDER BY rowid;
  DROP TABLE candidates_of_json;
  CREATE INDEX candidates_told ON candidates (step, prompt_id, idx, prompt, rendering, reason);`
]

export const schemaVersion = migrations.length

export interface RunDatabaseOptions {
  /** The file; created if it is missing, opened at its first use. */
  readonly path: string
  /** How long to wait while another program writes the file, milliseconds; the thread blocks. Default 2000. */
  readonly timeout?: number
}

type Work<A> = (db: DatabaseSync) => A

export class RunDatabase extends Context.Service<RunDatabase, {
  /** All of the work or nothing. */
  readonly transaction: <A>(work: Work<A>) => Effect.Effect<A, RunDatabaseFailed>
  /** The same, in one transaction with all other calls in this turn of the event loop: many small facts with one sync. */
  readonly together: <A>(work: Work<A>) => Effect.Effect<A, RunDatabaseFailed>
  /** Writes nothing. */
  readonly read: <A>(work: Work<A>) => Effect.Effect<A, RunDatabaseFailed>
}>()("vequinox/RunDatabase") {
  /** The file is closed when the scope ends. */
  static readonly layer = (options: RunDatabaseOptions) => Layer.effect(RunDatabase, makeRunDatabase(options))
}

const makeRunDatabase = Effect.fnUntraced(function*(options: RunDatabaseOptions) {
  const attempt = <A>(work: () => A) =>
    Effect.try({ try: work, catch: (cause) => new RunDatabaseFailed({ message: sentence(options.path, cause) }) })
  const opened: { db?: DatabaseSync } = {}
  const database = yield* Effect.cached(Effect.suspend(() => attempt(() => opened.db = open(options))))
  yield* Effect.addFinalizer(() => Effect.sync(() => opened.db?.close()))

  const waiting: Array<{ readonly work: Work<unknown>; readonly end: (result: Effect.Effect<unknown, RunDatabaseFailed>) => void }> = []
  const flush = (db: DatabaseSync) => {
    const all = waiting.splice(0)
    try {
      const values = atomically(db, () => all.map(({ work }) => work(db)))
      all.forEach(({ end }, n) => end(Effect.succeed(values[n])))
    } catch (cause) {
      const failed = Effect.fail(new RunDatabaseFailed({ message: sentence(options.path, cause) }))
      all.forEach(({ end }) => end(failed))
    }
  }
  return RunDatabase.of({
    transaction: (work) => Effect.flatMap(database, (db) => attempt(() => atomically(db, () => work(db)))),
    together: <A>(work: Work<A>) =>
      Effect.flatMap(database, (db) =>
        Effect.callback<A, RunDatabaseFailed>((resume) => {
          waiting.push({ work, end: resume as (result: Effect.Effect<unknown, RunDatabaseFailed>) => void })
          if (waiting.length === 1) setImmediate(flush, db)
        })),
    read: (work) => Effect.flatMap(database, (db) => attempt(() => work(db)))
  })
})

class OtherDatabase extends Error {}

/** SQLite result codes that people can do something about: https://sqlite.org/rescode.html */
const advice: Readonly<Record<number, string>> = {
  5: "is locked by another program: is a second run writing into the same folder?",
  6: "is locked by another program: is a second run writing into the same folder?",
  8: "is read-only: check its permissions and those of its folder.",
  10: "cannot be read or written: the disk reports an error.",
  11: "is damaged: restore it from a copy or start a new run.",
  13: "cannot grow: the disk is full.",
  14: "cannot be opened: does its folder exist, and may it be written?",
  26: "is not an SQLite database: choose another name or move it away."
}

const sentence = (path: string, cause: unknown): string => {
  if (cause instanceof OtherDatabase) return `${path} ${cause.message}`
  return `${path} ${advice[resultCode(cause)] ?? `could not be used: ${cause instanceof Error ? cause.message : String(cause)}`}`
}

const versionOf = (db: DatabaseSync): number =>
  db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'meta'").get() === undefined
    ? 0
    : Number(db.prepare("SELECT value FROM meta WHERE key = 'schema_version'").get()?.["value"])

const open = ({ path, timeout = 2000 }: RunDatabaseOptions): DatabaseSync => {
  const db = new DatabaseSync(path, { timeout })
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
    if (versionOf(db) !== schemaVersion) atomically(db, () => migrate(db))
    giveBack(db)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

const migrate = (db: DatabaseSync): void => {
  const version = versionOf(db)
  if (version > schemaVersion) {
    throw new OtherDatabase(
      `was written by a newer vequinox (schema ${version}, this one knows ${schemaVersion}): update vequinox.`
    )
  }
  if (!Number.isInteger(version)) throw new OtherDatabase("is not a run's database: choose another folder.")
  db.function("blob_of_json", { deterministic: true }, (json) => blobOfJson(String(json)))
  for (const tables of migrations.slice(version)) db.exec(tables)
  db.prepare("UPDATE meta SET value = ? WHERE key = 'schema_version'").run(String(schemaVersion))
}

/** Pages of 4096 bytes that are worth to write the file anew for. */
const manyFree = 256

/**
 * A file of JSON that became blobs (version 5) is larger than before, by what is free in it; written anew it is smaller by a third, as
 * is each copy in a bucket. Whether it is worth it is told by the file, not by its version: a process may die before this. If the disk
 * is full or another program reads, the free pages stay, and later steps fill them.
 */
const giveBack = (db: DatabaseSync): void => {
  const [free, all] = ["freelist_count", "page_count"].map((name) => Number(db.prepare(`PRAGMA ${name}`).get()![name])) as [number, number]
  if (free < manyFree || 4 * free < all) return
  try {
    db.exec("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
  } catch {
    // nothing depends on it
  }
}
